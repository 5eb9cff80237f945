"""The sealed worker: takes tasks from the SuperNode and runs nothing but the installed fedehr."""
