//! One DNS message in, one out.

use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::Table;

/// How long clients may keep an answer, in seconds. Source: `CoreDNS`' default for Services.
const TTL_SECS: u32 = 5;

/// Answers `request`. `None` for bytes that are no query: there is nobody to tell.
pub(crate) fn answer(table: &Table, request: &[u8], limit: Option<usize>) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).ok()?;
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    // Stub resolvers expect it of the server that they are given, or warn.
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&request.queries);
    if let Some(edns) = &request.edns {
        let mut own = Edns::new();
        own.set_max_payload(edns.max_payload().max(512));
        reply.edns = Some(own);
    }
    match (request.metadata.op_code, request.queries.as_slice()) {
        (OpCode::Query, [query]) => {
            reply.metadata.authoritative = true;
            let (code, answers) = resolve(table, query);
            reply.metadata.response_code = code;
            reply.answers = answers;
        }
        (OpCode::Query, _) => reply.metadata.response_code = ResponseCode::FormErr,
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    let bytes = reply.to_vec().ok()?;
    let limit = limit.map(|limit| limit.min(usize::from(request.max_payload())));
    if limit.is_some_and(|limit| bytes.len() > limit) {
        return reply.truncate().to_vec().ok();
    }
    Some(bytes)
}

fn resolve(table: &Table, query: &Query) -> (ResponseCode, Vec<Record>) {
    let missing = (ResponseCode::NXDomain, Vec::new());
    if query.query_class() != DNSClass::IN {
        return missing;
    }
    let owner = query.name();
    let name = owner.to_ascii().trim_end_matches('.').to_lowercase();
    let wants = |kind| query.query_type() == kind || query.query_type() == RecordType::ANY;
    let mut answers = Vec::new();
    if let Some(target) = table.aliases.get(&name) {
        let Ok(target_name) = Name::from_str(&format!("{target}.")) else {
            return missing;
        };
        let alias = RData::CNAME(CNAME(target_name.clone()));
        answers.push(Record::from_rdata(owner.clone(), TTL_SECS, alias));
        if wants(RecordType::A) {
            answers.extend(addresses(table, target, &target_name));
        }
        return (ResponseCode::NoError, answers);
    }
    if table.addresses.contains_key(&name) {
        if wants(RecordType::A) {
            answers.extend(addresses(table, &name, owner));
        }
        return (ResponseCode::NoError, answers);
    }
    let Some(targets) = table.services.get(&name) else {
        return missing;
    };
    if wants(RecordType::SRV) {
        for (port, target) in targets {
            if let Ok(target) = Name::from_str(&format!("{target}.")) {
                let data = RData::SRV(SRV::new(0, 100, *port, target));
                answers.push(Record::from_rdata(owner.clone(), TTL_SECS, data));
            }
        }
    }
    (ResponseCode::NoError, answers)
}

fn addresses<'a>(
    table: &'a Table,
    name: &str,
    owner: &'a Name,
) -> impl Iterator<Item = Record> + 'a {
    table
        .addresses
        .get(name)
        .into_iter()
        .flatten()
        .map(move |address| Record::from_rdata(owner.clone(), TTL_SECS, RData::A(A(*address))))
}

#[cfg(test)]
mod tests;
