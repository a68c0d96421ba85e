//! Resources of xDS.

use aviary_xds::Resource;
use aviary_xds::protobuf::google::protobuf::Any;
use aviary_xds::type_url::Kind;

/// Decodes `data`: a byte that says of what type it is, one that says how long its name is, the
/// name, and the message. What is taken must be encoded as something that decodes to the same.
pub fn run(data: &[u8]) {
    let (kind, data) = crate::number(data);
    let (length, data) = crate::number(data);
    let kind = KINDS[kind % KINDS.len()];
    let (name, message) = data.split_at(length.min(data.len()));
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let any = Any {
        type_url: kind.type_url().to_owned(),
        value: message.to_vec(),
    };
    if let Ok(resource) = Resource::decode(kind, name, &any) {
        again(&resource);
    }
}

const KINDS: [Kind; 5] = [
    Kind::Cluster,
    Kind::Endpoints,
    Kind::Listener,
    Kind::Routes,
    Kind::Secrets,
];

/// A resource encoded and decoded is itself.
pub(crate) fn again(resource: &Resource) {
    let decoded = Resource::decode(resource.kind(), resource.name(), &resource.encode());
    assert_eq!(decoded.as_ref(), Ok(resource));
}

/// A resource as an input of [`run`]; `None` when its name is too long for that.
pub fn input(resource: &Resource) -> Option<Vec<u8>> {
    let kind = KINDS.iter().position(|kind| *kind == resource.kind())?;
    let mut data = vec![
        u8::try_from(kind).ok()?,
        u8::try_from(resource.name().len()).ok()?,
    ];
    data.extend_from_slice(resource.name().as_bytes());
    data.extend_from_slice(&resource.encode().value);
    Some(data)
}
