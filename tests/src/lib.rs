//! System tests: the tutorials, with real processes.
