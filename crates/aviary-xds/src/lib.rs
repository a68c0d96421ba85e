//! The model as Envoy protobuf and back; both sides of an ADS session as state machines.
