import sys
from pathlib import Path

# Last, so that the package's own copy under test stays the one that is imported.
sys.path.append(str(Path(__file__).parents[2]))
