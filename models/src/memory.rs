//! Memory that settings ask for, estimated and compared with what the machine has before any of it is taken: each
//! setting may lie within its range, and their product be a thousand machines.
//!
//! Estimates count what grows with the settings, and leave out what is small; they are no promise that a run fits.

use std::fmt;

use sysinfo::System;

/// What is never refused: any machine has as much, and a run that has begun must not end because another took
/// memory meanwhile.
const SMALL: f64 = 256.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;

/// A part of an estimate: the settings it comes from, and its bytes.
pub type Part = (String, f64);

/// An error if the parts together take more memory than is available.
///
/// # Errors
/// "SETTINGS: about 61 GiB of memory are needed, 20 GiB are available" with the settings of the largest part.
pub fn check(parts: &[Part]) -> Result<(), String> {
    within(parts, available)
}

fn within(parts: &[Part], available: impl Fn() -> f64) -> Result<(), String> {
    let total: f64 = parts.iter().map(|(_, bytes)| bytes).sum();
    if total <= SMALL {
        return Ok(());
    }
    let available = available();
    match parts.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((settings, _)) if total > available => Err(format!(
            "{settings}: about {} of memory are needed, {} are available",
            Size(total),
            Size(available)
        )),
        _ => Ok(()),
    }
}

/// Bytes that this process can still take: those of the machine, or of the control group or the limit (`ulimit -v`)
/// that it is confined to. Where the system does not tell, as many as no machine has.
fn available() -> f64 {
    let mut system = System::new();
    system.refresh_memory();
    if system.total_memory() == 0 {
        return (1_u64 << 50) as f64;
    }
    let machine = system.available_memory();
    // What the group keeps of files is given up for what is asked for.
    let group = system.cgroup_limits().map(|group| group.total_memory.saturating_sub(group.rss));
    let free = group.map_or(machine, |group| group.min(machine)) as f64;
    addresses().map_or(free, |left| left.min(free))
}

/// What the limit on this process's addresses leaves; none without a limit, and where Linux does not tell.
fn addresses() -> Option<f64> {
    let field = |file: &str, name: &str| -> Option<f64> {
        let text = std::fs::read_to_string(file).ok()?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let most = field("/proc/self/limits", "Max address space")?;
    Some((most - 1024.0 * field("/proc/self/status", "VmSize:")?).max(0.0))
}

/// A number of bytes, to two digits.
struct Size(f64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut units) = (self.0 / MIB, ["MiB", "GiB", "TiB", "PiB", "EiB"].into_iter());
        let mut unit = units.next().unwrap_or_default();
        for larger in units {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        match value {
            10.0.. => write!(f, "{value:.0} {unit}"),
            _ => write!(f, "{value:.1} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_part_is_named_with_the_sum_and_what_there_is() {
        let parts = [("a = 2, b = 3".to_string(), 60.0 * 1024.0 * MIB), ("c = 1".to_string(), 1024.0 * MIB)];
        let error = within(&parts, || 1536.0 * MIB).unwrap_err();
        assert_eq!(error, "a = 2, b = 3: about 61 GiB of memory are needed, 1.5 GiB are available");
        assert_eq!(within(&parts, || 61.0 * 1024.0 * MIB), Ok(()));
    }

    #[test]
    fn what_is_small_is_not_refused_and_what_no_machine_has_is() {
        let small = [("x".to_string(), SMALL)];
        assert_eq!(within(&small, || 0.0), Ok(()));
        let huge = [("x".to_string(), 1e30)];
        let error = check(&huge).unwrap_err();
        assert!(error.starts_with("x: about 867361737988 EiB of memory are needed, "), "{error}");
        assert!(available() > SMALL);
    }
}
