//! The node agent: pods as processes in their own namespaces.
