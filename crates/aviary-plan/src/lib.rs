//! Controllers as planners: a view and a time to actions, status and waits.
