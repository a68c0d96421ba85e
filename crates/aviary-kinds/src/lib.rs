//! What an API server knows of each kind: schema, defaults, validation, patches, ownership, tables.
