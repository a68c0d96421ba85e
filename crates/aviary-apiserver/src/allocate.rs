//! Addresses and node ports of Services.

use std::{collections::HashSet, net::Ipv4Addr};

use aviary_kinds::Cause;
use serde_json::{Value, json};

use crate::{Config, api::text, store::Snapshot};

const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;
/// The DNS server's place in the Service network.
const DNS: u32 = 10;

/// Completes a Service: keeps what it has, gives what it lacks, takes back what its type does
/// not have. Must not run twice at once.
pub(crate) fn service(
    config: &Config,
    snapshot: &Snapshot,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Cause> {
    let uid = text(new, &["metadata", "uid"]).to_owned();
    let used = Used::find(snapshot, &uid);
    let kind = text(new, &["spec", "type"]).to_owned();
    let had = old.map_or("", |old| text(old, &["spec", "clusterIP"]));
    if kind == "ExternalName" {
        if let Some(spec) = new["spec"].as_object_mut() {
            for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.shift_remove(name);
            }
        }
    } else {
        address(config, &used, &mut new["spec"], had)?;
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        give_node_ports(&used, new, old)?;
    } else {
        take_node_ports(new, old);
    }
    Ok(())
}

struct Used {
    addresses: HashSet<String>,
    ports: HashSet<u64>,
}

impl Used {
    fn find(snapshot: &Snapshot, except_uid: &str) -> Self {
        let mut used = Self {
            addresses: HashSet::new(),
            ports: HashSet::new(),
        };
        for object in snapshot.list("/services", None, None) {
            if text(&object.value, &["metadata", "uid"]) == except_uid {
                continue;
            }
            let spec = &object.value["spec"];
            used.addresses.insert(text(spec, &["clusterIP"]).to_owned());
            used.ports
                .extend(ports(spec).filter_map(|port| port["nodePort"].as_u64()));
        }
        used
    }
}

fn ports(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["ports"].as_array().into_iter().flatten()
}

fn address(config: &Config, used: &Used, spec: &mut Value, had: &str) -> Result<(), Cause> {
    let first = spec["clusterIPs"]
        .get(0)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wanted = [text(spec, &["clusterIP"]), first, had];
    let wanted = wanted
        .into_iter()
        .find(|ip| !ip.is_empty())
        .unwrap_or_default()
        .to_owned();
    let chosen = match wanted.as_str() {
        "" => choose(config, used).ok_or_else(|| {
            Cause::invalid(
                "spec.clusterIPs",
                &Value::Null,
                "failed to allocate a serviceIP: range is full",
            )
        })?,
        "None" => wanted,
        given if given == had => wanted,
        given => {
            check_address(config, used, given)?;
            wanted
        }
    };
    let headless = chosen == "None";
    spec["clusterIPs"] = json!([chosen]);
    spec["clusterIP"] = json!(chosen);
    if spec["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if text(spec, &["ipFamilyPolicy"]).is_empty() {
        spec["ipFamilyPolicy"] = json!(if headless && spec.get("selector").is_none() {
            "RequireDualStack"
        } else {
            "SingleStack"
        });
    }
    Ok(())
}

fn range(config: &Config) -> std::ops::Range<u32> {
    let size = 1_u32 << (32 - u32::from(config.service_prefix.clamp(4, 28)));
    // The network's own address and the last one are not given out.
    1..size - 1
}

fn check_address(config: &Config, used: &Used, given: &str) -> Result<(), Cause> {
    let refuse = |detail: &str| {
        Cause::invalid(
            "spec.clusterIPs",
            &json!([given]),
            &format!("failed to allocate IP {given}: {detail}"),
        )
    };
    let parsed: Ipv4Addr = given
        .parse()
        .map_err(|_| refuse("the provided IP is not a valid IPv4 address"))?;
    let offset = parsed
        .to_bits()
        .wrapping_sub(config.service_network.to_bits());
    if !range(config).contains(&offset) {
        let network = format!("{}/{}", config.service_network, config.service_prefix);
        return Err(refuse(&format!(
            "the provided network does not match the current range: the valid range is {network}"
        )));
    }
    if used.addresses.contains(given) {
        return Err(refuse("provided IP is already allocated"));
    }
    Ok(())
}

fn choose(config: &Config, used: &Used) -> Option<String> {
    let range = range(config);
    let start = rand::random_range(range.clone());
    (start..range.end)
        .chain(range.start..start)
        .filter(|offset| *offset != DNS && *offset != 1)
        .map(|offset| config.service_address(offset).to_string())
        .find(|address| !used.addresses.contains(address))
}

fn give_node_ports(used: &Used, new: &mut Value, old: Option<&Value>) -> Result<(), Cause> {
    let before: Vec<Value> = old
        .map(|old| ports(&old["spec"]).cloned().collect())
        .unwrap_or_default();
    let mut taken = used.ports.clone();
    let given: Vec<Option<u64>> = ports(&new["spec"])
        .map(|port| {
            let kept = before.iter().find(|other| {
                other["port"] == port["port"] && other["protocol"] == port["protocol"]
            });
            let own = port["nodePort"].as_u64().filter(|number| *number > 0);
            own.or_else(|| kept.and_then(|other| other["nodePort"].as_u64()))
        })
        .collect();
    for (index, number) in given.iter().enumerate() {
        let Some(number) = number else { continue };
        let field = format!("spec.ports[{index}].nodePort");
        if !NODE_PORTS.contains(number) {
            return Err(Cause::invalid(
                field,
                &json!(number),
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            ));
        }
        if !taken.insert(*number) && used.ports.contains(number) {
            return Err(Cause::invalid(
                field,
                &json!(number),
                "provided port is already allocated",
            ));
        }
    }
    let Some(list) = new["spec"]["ports"].as_array_mut() else {
        return Ok(());
    };
    for (port, number) in list.iter_mut().zip(given) {
        let number = number.or_else(|| free_port(&taken)).ok_or_else(|| {
            let detail = "failed to allocate a nodePort: range is full";
            Cause::invalid("spec.ports", &Value::Null, detail)
        })?;
        taken.insert(number);
        port["nodePort"] = json!(number);
    }
    Ok(())
}

fn free_port(taken: &HashSet<u64>) -> Option<u64> {
    let start = rand::random_range(NODE_PORTS);
    let mut candidates = (start..=*NODE_PORTS.end()).chain(*NODE_PORTS.start()..start);
    candidates.find(|number| !taken.contains(number))
}

/// A Service that no longer has node ports gives back those it had.
fn take_node_ports(new: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    let before: HashSet<u64> = ports(&old["spec"])
        .filter_map(|port| port["nodePort"].as_u64())
        .collect();
    for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"]
            .as_u64()
            .is_some_and(|number| before.contains(&number))
            && let Some(port) = port.as_object_mut()
        {
            port.shift_remove("nodePort");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(mut new: Value, old: Option<&Value>) -> Result<Value, String> {
        let config = Config::at(Path::new("/nowhere"));
        service(&config, &Snapshot::default(), &mut new, old)
            .map(|()| new)
            .map_err(|cause| cause.to_string())
    }

    #[test]
    fn service_without_address_gets_one_of_the_network() {
        let new = check(json!({ "spec": { "type": "ClusterIP" } }), None).expect("allocated");
        let ip = text(&new, &["spec", "clusterIP"]).to_owned();
        assert!(ip.starts_with("10.96."), "{ip}");
        assert_eq!(new["spec"]["clusterIPs"], json!([ip]));
    }

    #[test]
    fn service_headless_stays_headless() {
        let new = check(
            json!({ "spec": { "type": "ClusterIP", "clusterIP": "None" } }),
            None,
        );
        assert_eq!(
            new.expect("headless")["spec"]["clusterIPs"],
            json!(["None"])
        );
    }

    #[test]
    fn service_update_without_address_keeps_it() {
        let old = json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.96.1.2" } });
        let new = check(json!({ "spec": { "type": "ClusterIP" } }), Some(&old)).expect("kept");
        assert_eq!(new["spec"]["clusterIP"], "10.96.1.2");
    }

    #[test]
    fn service_foreign_address_is_refused() {
        let message = check(
            json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.0.0.1" } }),
            None,
        );
        assert!(
            message
                .expect_err("refused")
                .contains("does not match the current range")
        );
    }

    #[test]
    fn service_node_port_type_gets_ports_and_gives_them_back() {
        let spec =
            json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80, "protocol": "TCP" }] } });
        let with = check(spec, None).expect("allocated");
        assert!(
            with["spec"]["ports"][0]["nodePort"]
                .as_u64()
                .is_some_and(|p| NODE_PORTS.contains(&p))
        );
        let mut back = with.clone();
        back["spec"]["type"] = json!("ClusterIP");
        let without = check(back, Some(&with)).expect("given back");
        assert_eq!(without["spec"]["ports"][0].get("nodePort"), None);
        let wrong =
            json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": 80 }] } });
        assert!(
            check(wrong, None)
                .expect_err("out of range")
                .contains("valid range")
        );
    }
}
