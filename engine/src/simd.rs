//! Run-time SIMD dispatch.
//!
//! A kernel is written once, as plain loops over slices. [`simd_fn!`](crate::simd_fn) compiles its
//! body three times (AVX-512, AVX2 with FMA, baseline) and picks one at run time; the compiler
//! vectorises each to the width at hand (a test, `machine_code`, reads what it has made of the kernels that take
//! the time). On AArch64, NEON is the baseline. Loops must run over
//! slices, without early exits or calls to `libm`: use the functions of [`Real`].
//!
//! Every version executes the same operations in the same order (a `mul_add` stays fused, a sum is
//! only as parallel as it is written), so the three agree bit for bit.
//!
//! Under Miri every kernel is the baseline's.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};

use crate::Real;

/// The widest instruction set that kernels may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What the compilation target guarantees (SSE2 on x86-64, NEON on AArch64).
    Baseline = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, VL, BW, DQ.
    Avx512 = 3,
}

impl Level {
    /// From the lowest to the highest.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];
}

/// As in `METASTABLE_SIMD`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The environment variable that lowers the level.
const VARIABLE: &str = "METASTABLE_SIMD";

/// The level in use: the best one of this CPU, unless [`set_level`] or the environment variable
/// `METASTABLE_SIMD=baseline|avx2|avx512` lowered it. What [`requested`] refuses counts as not set.
#[inline]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Baseline,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => set_level(requested().ok().flatten().unwrap_or(Level::Avx512)),
    }
}

/// The level that `METASTABLE_SIMD` asks for; none if it is not set or empty. For a program to ask when it begins.
///
/// # Errors
/// One line, if it names no level, or one that this CPU does not have.
pub fn requested() -> Result<Option<Level>, String> {
    std::env::var_os(VARIABLE).map_or(Ok(None), |value| named(&value.to_string_lossy(), detected()))
}

/// The level of a name, where `best` is the highest there is; none for no name.
fn named(name: &str, best: Level) -> Result<Option<Level>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = || Level::ALL.into_iter().filter(|level| *level <= best).map(|l| l.to_string());
    let choices = || format!("set it to {}, or not at all", known().collect::<Vec<_>>().join(" or "));
    match Level::ALL.into_iter().find(|level| level.to_string() == name) {
        Some(level) if level <= best => Ok(Some(level)),
        Some(level) => Err(format!("{VARIABLE} = {level} is more than this CPU has; {}", choices())),
        None => Err(format!("{VARIABLE} = {name:?} is no SIMD level; {}", choices())),
    }
}

/// Limits kernels to `wanted`, or to the best level this CPU has if that is lower; returns the
/// level now in use.
pub fn set_level(wanted: Level) -> Level {
    let level = wanted.min(detected());
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

fn detected() -> Level {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        if avx2 && has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Baseline
}

/// At the end of a loop's body, keeps the compiler from vectorising over the rounds of the loop in place of the
/// lanes within its body: with AVX-512 it takes a number of sixteen rounds at once, by gathers. No instruction.
#[inline(always)]
pub fn round_by_round() {
    compiler_fence(Ordering::SeqCst);
}

/// Asks for the cache lines of `data[at..at + len]`, without waiting. Only worth it where the place is known
/// long before and is not the next in memory.
#[inline(always)]
pub fn prefetch<T>(data: &[T], at: usize, len: usize) {
    for k in (at..at + len).step_by((64 / size_of::<T>()).max(1)) {
        if let Some(place) = data.get(k) {
            prefetch_line(place);
        }
    }
}

/// Asks for the cache line of a place, which need not exist.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch_line<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing, and does nothing where there is no memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

/// Defines functions that run at the best SIMD level of the CPU; see the [module](crate::simd).
///
/// ```
/// use engine::{Real, simd_fn};
/// simd_fn! {
///     /// y = a x.
///     pub fn scaled<T: Real>(a: T, x: &[T], y: &mut [T]) {
///         for (x, y) in x.iter().zip(y) {
///             *y = a * *x;
///         }
///     }
/// }
/// let mut y = [1.0, 1.0];
/// scaled(2.0, &[1.0, 3.0], &mut y);
/// assert_eq!(y, [2.0, 6.0]);
/// ```
#[macro_export]
macro_rules! simd_fn {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($T:ident : $bound:path),+>)? (
        $($arg:ident : $ty:ty),* $(,)?
    ) $(-> $ret:ty)? $body:block)+) => {$(
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name$(<$($T: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body$(<$($T: $bound),+>)?($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512$(<$($T: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
                    body$(::<$($T),+>)?($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2$(<$($T: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
                    body$(::<$($T),+>)?($($arg),*)
                }
                match $crate::simd::level() {
                    // SAFETY: `level` reports AVX-512 only where the CPU has all these features.
                    $crate::simd::Level::Avx512 => return unsafe { avx512$(::<$($T),+>)?($($arg),*) },
                    // SAFETY: `level` reports AVX2 only where the CPU has AVX2 and FMA.
                    $crate::simd::Level::Avx2 => return unsafe { avx2$(::<$($T),+>)?($($arg),*) },
                    $crate::simd::Level::Baseline => {}
                }
            }
            #[allow(unreachable_code)]
            body$(::<$($T),+>)?($($arg),*)
        }
    )+};
}

simd_fn! {
    /// y += a x, as far as both go.
    pub fn axpy<T: Real>(a: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = a.mul_add(*x, *y);
        }
    }

    /// sum += x, as far as both go.
    pub fn add<T: Real>(x: &[T], sum: &mut [T]) {
        for (x, sum) in x.iter().zip(sum) {
            *sum += *x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_that_exists_and_that_the_cpu_has() {
        for level in Level::ALL {
            assert_eq!(named(&level.to_string(), Level::Avx512), Ok(Some(level)));
        }
        assert_eq!(named("", Level::Baseline), Ok(None));
        let refused = |name: &str, best: Level| named(name, best).unwrap_err();
        assert_eq!(
            refused("sse9", Level::Avx512),
            r#"METASTABLE_SIMD = "sse9" is no SIMD level; set it to baseline or avx2 or avx512, or not at all"#
        );
        assert_eq!(
            refused("AVX2\n", Level::Avx2),
            r#"METASTABLE_SIMD = "AVX2\n" is no SIMD level; set it to baseline or avx2, or not at all"#
        );
        assert_eq!(
            refused("avx512", Level::Avx2),
            "METASTABLE_SIMD = avx512 is more than this CPU has; set it to baseline or avx2, or not at all"
        );
        assert_eq!(
            refused("avx2", Level::Baseline),
            "METASTABLE_SIMD = avx2 is more than this CPU has; set it to baseline, or not at all"
        );
    }
}
