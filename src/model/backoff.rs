//! The delay before the next start.

use std::time::Duration;

use super::spec::RestartPolicy;

/// The delay after `unstable` unstable starts in a row (1 or more): `delay` × 2ⁿ⁻¹ up to `max_delay`, then
/// ± 10 % by `roll`, a number from 0 to 1.
#[must_use]
pub fn delay(policy: &RestartPolicy, unstable: u32, roll: f64) -> Duration {
    let doubled =
        policy.delay.saturating_mul(1u32.checked_shl(unstable.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(policy.max_delay).mul_f64(0.9 + 0.2 * roll.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let policy = RestartPolicy::default();
        let shown: Vec<u128> = (1..=10).map(|n| delay(&policy, n, 0.5).as_millis()).collect();
        assert_eq!(shown, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        assert_eq!(delay(&policy, u32::MAX, 1.0), Duration::from_millis(16_500));
        let at_once = RestartPolicy { delay: Duration::ZERO, ..policy };
        assert_eq!(delay(&at_once, 40, 1.0), Duration::ZERO);
    }

    proptest::proptest! {
        #[test]
        fn stays_within_a_tenth_of_the_cap(unstable in 1u32.., roll in 0.0f64..=1.0, delay_ms in 0u64..100_000) {
            let policy = RestartPolicy { delay: Duration::from_millis(delay_ms), ..RestartPolicy::default() };
            proptest::prop_assert!(delay(&policy, unstable, roll) <= policy.max_delay.mul_f64(1.1));
        }
    }
}
