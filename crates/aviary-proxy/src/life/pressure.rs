//! What a proxy gives up, and when, as its memory fills.

/// How far memory has filled. Each level does what those below it do as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// Nothing is given up.
    #[default]
    Calm,
    /// Idle connections are not kept: each reply says that its connection ends.
    CloseIdle,
    /// New requests are answered 503 with `x-envoy-overloaded`.
    RefuseRequests,
    /// New connections wait in the kernel's queue.
    StopAccepting,
}

/// From which share of the limit, in percent, each level holds.
///
/// Source: Envoy's overload manager (`stop_accepting_requests` and so on) with the thresholds of
/// docs/limits.md.
const THRESHOLDS: [(u64, Level); 3] = [
    (96, Level::StopAccepting),
    (92, Level::RefuseRequests),
    (85, Level::CloseIdle),
];

/// A level is left only when memory fell this far below its threshold, in percent of the limit, so
/// that a proxy at the threshold does not change its mind with every page.
const MARGIN: u64 = 2;

/// The level for `used` of `limit` bytes, after `before`.
pub(crate) fn level(used: u64, limit: u64, before: Level) -> Level {
    let percent = u128::from(used) * 100 / u128::from(limit.max(1));
    let reaches = |threshold: u64, level: Level| {
        let margin = if level <= before { MARGIN } else { 0 };
        percent >= u128::from(threshold - margin)
    };
    THRESHOLDS
        .into_iter()
        .find(|(threshold, level)| reaches(*threshold, *level))
        .map_or(Level::Calm, |(_, level)| level)
}

impl Level {
    /// The level that [`Level::number`] was made from.
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Calm,
            1 => Self::CloseIdle,
            2 => Self::RefuseRequests,
            _ => Self::StopAccepting,
        }
    }

    /// The level as a number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Calm, CloseIdle, RefuseRequests, StopAccepting};

    #[test]
    fn level_rises_at_each_threshold() {
        for (percent, want) in [
            (0, Calm),
            (84, Calm),
            (85, CloseIdle),
            (91, CloseIdle),
            (92, RefuseRequests),
            (95, RefuseRequests),
            (96, StopAccepting),
            (250, StopAccepting),
        ] {
            assert_eq!(level(percent, 100, Calm), want, "{percent}");
        }
        assert_eq!(level(u64::MAX, 0, Calm), StopAccepting);
    }

    #[test]
    fn level_falls_only_below_the_margin() {
        for (percent, before, want) in [
            (94, StopAccepting, StopAccepting),
            (93, StopAccepting, RefuseRequests),
            (90, RefuseRequests, RefuseRequests),
            (89, RefuseRequests, CloseIdle),
            (83, CloseIdle, CloseIdle),
            (82, CloseIdle, Calm),
            (83, StopAccepting, CloseIdle),
            (50, StopAccepting, Calm),
        ] {
            assert_eq!(level(percent, 100, before), want, "{percent}");
        }
    }

    #[test]
    fn from_number_gives_the_level_back() {
        for level in [Calm, CloseIdle, RefuseRequests, StopAccepting] {
            assert_eq!(Level::from_number(level.number()), level);
        }
    }
}
