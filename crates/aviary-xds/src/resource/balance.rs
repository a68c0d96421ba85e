//! How an endpoint is chosen, as Envoy's load balancer settings.

use aviary_mesh::cluster::{Balance, SlowStart};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    RoundRobinLbConfig, SlowStartConfig,
    common_lb_config::{
        ConsistentHashingLbConfig, LocalityConfigSpecifier, LocalityWeightedLbConfig,
    },
    ring_hash_lb_config::HashFunction,
};
use envoy_types::pb::envoy::config::core::v3::RuntimeDouble;
use envoy_types::pb::google::protobuf::UInt64Value;

use envoy_types::pb::envoy::r#type::v3::Percent;

use super::value::{duration, duration_of, number, number_of, share_of};
use super::{Fault, Within, nothing_left};

const PANIC_PERCENT: f64 = 50.0;
const RING_MIN: u64 = 1_024;
const RING_MAX: u64 = 8 << 20;
const TABLE: u64 = 65_537;
const MIN_WEIGHT_PERCENT: f64 = 10.0;

pub(super) fn policy(balance: Balance) -> LbPolicy {
    match balance {
        Balance::LeastRequest | Balance::LeastOf(_) => LbPolicy::LeastRequest,
        Balance::RoundRobin => LbPolicy::RoundRobin,
        Balance::Random => LbPolicy::Random,
        Balance::RingHash { .. } => LbPolicy::RingHash,
        Balance::Maglev { .. } => LbPolicy::Maglev,
    }
}

pub(super) fn config(balance: Balance, slow_start: Option<&SlowStart>) -> Option<LbConfig> {
    let slow_start_config = slow_start.map(slow);
    let wide = |value| Some(UInt64Value { value });
    match balance {
        Balance::LeastRequest | Balance::LeastOf(_) => {
            let choice_count = match balance {
                Balance::LeastOf(count) => number(count),
                _ => None,
            };
            let config = LeastRequestLbConfig {
                choice_count,
                slow_start_config,
                ..LeastRequestLbConfig::default()
            };
            (config != LeastRequestLbConfig::default())
                .then_some(LbConfig::LeastRequestLbConfig(config))
        }
        Balance::RoundRobin => slow_start_config.map(|config| {
            LbConfig::RoundRobinLbConfig(RoundRobinLbConfig {
                slow_start_config: Some(config),
            })
        }),
        Balance::Random => None,
        Balance::RingHash { min, max, .. } => Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
            minimum_ring_size: wide(min),
            maximum_ring_size: wide(max),
            ..RingHashLbConfig::default()
        })),
        Balance::Maglev { table, .. } => Some(LbConfig::MaglevLbConfig(MaglevLbConfig {
            table_size: wide(table),
        })),
    }
}

/// What is common to all balancers.
pub(super) struct Common {
    pub(super) panic_threshold_percent: u32,
    pub(super) locality_weighted: bool,
    pub(super) by_hostname: bool,
}

pub(super) fn common(common: &Common) -> CommonLbConfig {
    CommonLbConfig {
        healthy_panic_threshold: Some(Percent {
            value: f64::from(common.panic_threshold_percent),
        }),
        locality_config_specifier: common.locality_weighted.then_some(
            LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}),
        ),
        consistent_hashing_lb_config: common.by_hostname.then_some(ConsistentHashingLbConfig {
            use_hostname_for_hashing: true,
            ..ConsistentHashingLbConfig::default()
        }),
        ..CommonLbConfig::default()
    }
}

pub(super) fn common_of(proto: Option<CommonLbConfig>) -> Result<Common, Fault> {
    let mut proto = proto.unwrap_or_default();
    let panic = share_of(proto.healthy_panic_threshold.take(), PANIC_PERCENT)
        .within("healthy_panic_threshold")?;
    if panic.fract() != 0.0 {
        return Err(Fault::new("must be whole").at("healthy_panic_threshold"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between 0 and 100"
    )]
    let panic_threshold_percent = panic as u32;
    let mut hashing = proto
        .consistent_hashing_lb_config
        .take()
        .unwrap_or_default();
    let by_hostname = std::mem::take(&mut hashing.use_hostname_for_hashing);
    nothing_left(&hashing).within("consistent_hashing_lb_config")?;
    let locality_weighted = match proto.locality_config_specifier.take() {
        None => false,
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => true,
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(_)) => {
            return Err(Fault::new("is not supported").at("zone_aware_lb_config"));
        }
    };
    // Updates are merged as they come.
    proto.update_merge_window = None;
    nothing_left(&proto)?;
    Ok(Common {
        panic_threshold_percent,
        locality_weighted,
        by_hostname,
    })
}

pub(super) fn balance_of(
    policy: i32,
    config: Option<LbConfig>,
    by_hostname: bool,
) -> Result<(Balance, Option<SlowStart>), Fault> {
    let refuse = || Err(Fault::new("does not belong to this `lb_policy`").at("lb_config"));
    let policy = LbPolicy::try_from(policy);
    match (policy, config) {
        (Ok(LbPolicy::RoundRobin), None) => Ok((Balance::RoundRobin, None)),
        (Ok(LbPolicy::RoundRobin), Some(LbConfig::RoundRobinLbConfig(config))) => {
            let slow = config.slow_start_config.map(slow_of).transpose();
            Ok((
                Balance::RoundRobin,
                slow.within("round_robin_lb_config.slow_start_config")?,
            ))
        }
        (Ok(LbPolicy::LeastRequest), None) => Ok((Balance::LeastRequest, None)),
        (Ok(LbPolicy::LeastRequest), Some(LbConfig::LeastRequestLbConfig(config))) => {
            least_of(config).within("least_request_lb_config")
        }
        (Ok(LbPolicy::Random), None) => Ok((Balance::Random, None)),
        (Ok(LbPolicy::RingHash), None) => ring_of(RingHashLbConfig::default(), by_hostname),
        (Ok(LbPolicy::RingHash), Some(LbConfig::RingHashLbConfig(config))) => {
            ring_of(config, by_hostname).within("ring_hash_lb_config")
        }
        (Ok(LbPolicy::Maglev), None) => maglev_of(MaglevLbConfig::default(), by_hostname),
        (Ok(LbPolicy::Maglev), Some(LbConfig::MaglevLbConfig(config))) => {
            maglev_of(config, by_hostname).within("maglev_lb_config")
        }
        (
            Ok(
                LbPolicy::RoundRobin
                | LbPolicy::LeastRequest
                | LbPolicy::Random
                | LbPolicy::RingHash
                | LbPolicy::Maglev,
            ),
            Some(_),
        ) => refuse(),
        _ => Err(Fault::new("a balancer that is not supported").at("lb_policy")),
    }
}

fn least_of(mut config: LeastRequestLbConfig) -> Result<(Balance, Option<SlowStart>), Fault> {
    let choices = number_of(config.choice_count.take()).unwrap_or(2);
    let slow = config.slow_start_config.take().map(slow_of).transpose();
    nothing_left(&config)?;
    let balance = match choices {
        0 | 1 => return Err(Fault::new("must be at least 2").at("choice_count")),
        2 => Balance::LeastRequest,
        more => Balance::LeastOf(more),
    };
    Ok((balance, slow.within("slow_start_config")?))
}

fn ring_of(
    config: RingHashLbConfig,
    by_hostname: bool,
) -> Result<(Balance, Option<SlowStart>), Fault> {
    if HashFunction::try_from(config.hash_function) != Ok(HashFunction::XxHash) {
        return Err(Fault::new("only XX_HASH is supported").at("hash_function"));
    }
    let min = config.minimum_ring_size.map_or(RING_MIN, |it| it.value);
    let max = config.maximum_ring_size.map_or(RING_MAX, |it| it.value);
    if min > max || max > RING_MAX {
        let reason = format!("{min} to {max} is no range up to {RING_MAX}");
        return Err(Fault::new(reason).at("minimum_ring_size"));
    }
    let balance = Balance::RingHash {
        min,
        max,
        by_hostname,
    };
    Ok((balance, None))
}

fn maglev_of(
    config: MaglevLbConfig,
    by_hostname: bool,
) -> Result<(Balance, Option<SlowStart>), Fault> {
    let table = config.table_size.map_or(TABLE, |it| it.value);
    // Source: Envoy's bound.
    let fits = (2..=5_000_011).contains(&table);
    if !fits || (2..=table.isqrt()).any(|it| table.is_multiple_of(it)) {
        let reason = format!("{table} is not a prime number up to 5000011");
        return Err(Fault::new(reason).at("table_size"));
    }
    Ok((Balance::Maglev { table, by_hostname }, None))
}

fn slow(slow: &SlowStart) -> SlowStartConfig {
    SlowStartConfig {
        slow_start_window: duration(slow.window),
        aggression: Some(RuntimeDouble {
            default_value: slow.aggression,
            runtime_key: "slow_start.none".to_owned(),
        }),
        min_weight_percent: Some(Percent {
            value: slow.min_weight_percent,
        }),
    }
}

fn slow_of(proto: SlowStartConfig) -> Result<SlowStart, Fault> {
    let missing = || Fault::new("a duration is missing").at("slow_start_window");
    let window = duration_of(proto.slow_start_window).within("slow_start_window")?;
    let aggression = proto.aggression.map_or(1.0, |it| it.default_value);
    if !aggression.is_finite() || aggression <= 0.0 {
        return Err(Fault::new("must be above 0").at("aggression"));
    }
    Ok(SlowStart {
        window: window.ok_or_else(missing)?,
        aggression,
        min_weight_percent: share_of(proto.min_weight_percent, MIN_WEIGHT_PERCENT)
            .within("min_weight_percent")?,
    })
}
