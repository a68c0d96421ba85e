//! Content negotiation of answers.

use aviary_kinds::Status;

/// How an answer is to be shaped. All but one are JSON; clients that also accept protobuf take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Objects and lists as they are.
    Plain,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `PartialObjectMetadata(List)`.
    Metadata,
    /// `apidiscovery.k8s.io/v2`.
    Discovery,
    /// Objects and lists as YAML.
    Yaml,
}

const ACCEPTED: &[&str] = &[
    "application/json",
    "application/json;stream=watch",
    "application/yaml",
];

/// Picks the first shape of the `Accept` header that can be given.
pub(crate) fn negotiate(header: &str) -> Result<Shape, Status> {
    if header.trim().is_empty() {
        return Ok(Shape::Plain);
    }
    header
        .split(',')
        .find_map(one)
        .ok_or_else(|| Status::not_acceptable(ACCEPTED))
}

fn one(item: &str) -> Option<Shape> {
    let mut parts = item.split(';').map(str::trim);
    let media = parts.next()?;
    if matches!(media, "application/yaml" | "text/yaml") {
        return Some(Shape::Yaml);
    }
    if !matches!(
        media,
        "application/json" | "*/*" | "application/*" | "text/plain" | ""
    ) {
        return None;
    }
    let mut shape = Shape::Plain;
    let mut version = "v1";
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) => shape = Shape::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                shape = Shape::Metadata;
            }
            Some(("as", "APIGroupDiscoveryList")) => shape = Shape::Discovery,
            Some(("as", _)) => return None,
            Some(("v", v)) => version = v,
            _ => {}
        }
    }
    let wanted = if shape == Shape::Discovery {
        "v2"
    } else {
        "v1"
    };
    (shape == Shape::Plain || version == wanted).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiate_table_list_takes_the_first() {
        let header = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=\
                      v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(header), Ok(Shape::Table));
    }

    #[test]
    fn negotiate_protobuf_first_falls_to_json() {
        assert_eq!(
            negotiate("application/vnd.kubernetes.protobuf,application/json"),
            Ok(Shape::Plain)
        );
        assert_eq!(negotiate("*/*"), Ok(Shape::Plain));
        assert_eq!(
            negotiate("image/png").map_err(|status| status.code),
            Err(406)
        );
    }

    #[test]
    fn negotiate_old_discovery_is_plain() {
        let header = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                      application/json";
        assert_eq!(negotiate(header), Ok(Shape::Plain));
        let header = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json";
        assert_eq!(negotiate(header), Ok(Shape::Discovery));
    }
}
