//! Starting, finding state again, stopping without a trace.
