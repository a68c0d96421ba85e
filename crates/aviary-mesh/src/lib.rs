//! The mesh's configuration model and every decision of the data plane over it.
