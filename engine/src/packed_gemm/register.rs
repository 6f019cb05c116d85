//! Vector registers of one instruction set behind a safe interface.
//!
//! Plain loops leave it to the compiler along which index a tile is vectorised and how many of its sums stay in
//! registers, and it does not choose well for every tile (see docs/performance.md). Tiles of the products are
//! therefore written in registers.
//!
//! A value of an instruction set's type exists only where the CPU has its instructions; whoever holds one may
//! call all its functions. They are inlined into a function that is compiled for the instruction set.

use super::{LANES, Lanes};
use crate::Real;

/// Registers of numbers `T`, [`PARTS`](Self::PARTS) of which hold a column of a panel.
pub trait Registers<T>: Copy {
    /// A register.
    type Register: Copy;
    /// Registers of a column.
    const PARTS: usize;

    /// Zeros.
    fn zero(self) -> Self::Register;
    /// A number in all places.
    fn splat(self, x: T) -> Self::Register;
    /// Part `part` (modulo the number of parts) of a column.
    fn load(self, column: &Lanes<T>, part: usize) -> Self::Register;
    /// Writes a part of a column.
    fn store(self, x: Self::Register, column: &mut Lanes<T>, part: usize);
    /// x + y.
    fn add(self, x: Self::Register, y: Self::Register) -> Self::Register;
    /// x y + z with one rounding.
    fn mul_add(self, x: Self::Register, y: Self::Register, z: Self::Register) -> Self::Register;
}

/// The instruction sets that a number type has registers of.
pub trait HasRegisters: Sized {
    /// 256 bits, AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Registers<Self> + Assume;
    /// 512 bits, AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Registers<Self> + Assume;
}

/// An instruction set that some CPUs lack.
#[cfg(target_arch = "x86_64")]
pub trait Assume {
    /// Its registers.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    #[allow(unsafe_code)]
    unsafe fn assume() -> Self;
}

/// Arrays in place of registers: what the compiler makes of plain loops. `N` divides [`LANES`].
#[derive(Clone, Copy)]
pub struct Arrays<const N: usize>;

impl<T: Real, const N: usize> Registers<T> for Arrays<N> {
    type Register = [T; N];
    const PARTS: usize = LANES / N;

    #[inline(always)]
    fn zero(self) -> [T; N] {
        [T::ZERO; N]
    }
    #[inline(always)]
    fn splat(self, x: T) -> [T; N] {
        [x; N]
    }
    #[inline(always)]
    fn load(self, column: &Lanes<T>, part: usize) -> [T; N] {
        column.as_chunks().0[part % (LANES / N)]
    }
    #[inline(always)]
    fn store(self, x: [T; N], column: &mut Lanes<T>, part: usize) {
        column.as_chunks_mut().0[part % (LANES / N)] = x;
    }
    #[inline(always)]
    fn add(self, x: [T; N], y: [T; N]) -> [T; N] {
        std::array::from_fn(|l| x[l] + y[l])
    }
    #[inline(always)]
    fn mul_add(self, x: [T; N], y: [T; N], z: [T; N]) -> [T; N] {
        std::array::from_fn(|l| x[l].mul_add(y[l], z[l]))
    }
}

/// One instruction set for one number type.
#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($(#[$meta:meta])* $name:ident: $parts:literal x $register:ident of $t:ident,
     $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $mul_add:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub struct $name(());

        #[allow(unsafe_code)]
        impl Assume for $name {
            #[inline(always)]
            unsafe fn assume() -> Self {
                Self(())
            }
        }

        // SAFETY, of every block: `self` exists only where the CPU has the instructions. Loads and stores stay in
        // the column, since the place of a part is taken modulo the column's length, and need no alignment.
        #[allow(unsafe_code)]
        impl Registers<$t> for $name {
            type Register = x86_64::$register;
            const PARTS: usize = $parts;

            #[inline(always)]
            fn zero(self) -> Self::Register {
                unsafe { x86_64::$zero() }
            }
            #[inline(always)]
            fn splat(self, x: $t) -> Self::Register {
                unsafe { x86_64::$splat(x) }
            }
            #[inline(always)]
            fn load(self, column: &Lanes<$t>, part: usize) -> Self::Register {
                unsafe { x86_64::$load(column.as_ptr().add((part * (LANES / $parts)) & (LANES - 1))) }
            }
            #[inline(always)]
            fn store(self, x: Self::Register, column: &mut Lanes<$t>, part: usize) {
                unsafe { x86_64::$store(column.as_mut_ptr().add((part * (LANES / $parts)) & (LANES - 1)), x) }
            }
            #[inline(always)]
            fn add(self, x: Self::Register, y: Self::Register) -> Self::Register {
                unsafe { x86_64::$add(x, y) }
            }
            #[inline(always)]
            fn mul_add(self, x: Self::Register, y: Self::Register, z: Self::Register) -> Self::Register {
                unsafe { x86_64::$mul_add(x, y, z) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64;

    use super::{Assume, HasRegisters, LANES, Lanes, Registers};

    registers! {
        /// AVX2 and FMA in single precision.
        Avx2Single: 2 x __m256 of f32,
        _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps
    }
    registers! {
        /// AVX2 and FMA in double precision.
        Avx2Double: 4 x __m256d of f64,
        _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd
    }
    registers! {
        /// AVX-512 in single precision.
        Avx512Single: 1 x __m512 of f32,
        _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps
    }
    registers! {
        /// AVX-512 in double precision.
        Avx512Double: 2 x __m512d of f64,
        _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_fmadd_pd
    }

    impl HasRegisters for f32 {
        type Avx2 = Avx2Single;
        type Avx512 = Avx512Single;
    }
    impl HasRegisters for f64 {
        type Avx2 = Avx2Double;
        type Avx512 = Avx512Double;
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl HasRegisters for f32 {}
#[cfg(not(target_arch = "x86_64"))]
impl HasRegisters for f64 {}
