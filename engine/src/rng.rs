//! Random numbers as a pure function of coordinates (seed, purpose, step, chunk): the same for any number of
//! threads and after a resume.
//!
//! A [`Stream`] advances [`LANES`] independent Xoshiro256++ generators (Blackman and Vigna, "Scrambled linear
//! pseudorandom number generators", 2021) by vector instructions; lane `l` is the generator of `rand_xoshiro`
//! seeded with the l-th word of the key. Gaussians are made by the transform of Box and Muller (1958) with the
//! vectorised `ln` and `sin_cos`.

use crate::{Real, parallel, simd_fn};

/// Generators of a stream.
pub const LANES: usize = 16;
/// Random words of a block.
const BLOCK: usize = 8 * LANES;

/// A stream of random numbers, for one chunk of one step.
#[derive(Clone)]
pub struct Stream {
    state: [[u64; LANES]; 4],
    block: [u64; BLOCK],
    used: usize,
}

/// SplitMix64's output function (Steele, Lea and Flood 2014): a bijection that mixes all bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of `purpose` (such as "noise", "batch") at `step`, `chunk`.
    pub fn new(seed: u64, purpose: &str, step: u64, chunk: u64) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for byte in purpose.bytes() {
            key = mix(key ^ u64::from(byte)).wrapping_add(GOLDEN);
        }
        key = mix(key ^ mix(step.wrapping_add(GOLDEN)));
        key = mix(key.wrapping_add(mix(chunk ^ GOLDEN)));
        let mut state = [[0; LANES]; 4];
        for lane in 0..LANES {
            let mut word = mix(key.wrapping_add(GOLDEN.wrapping_mul(lane as u64 + 1)));
            // `seed_from_u64` of rand_xoshiro: four outputs of SplitMix64.
            for row in &mut state {
                word = word.wrapping_add(GOLDEN);
                row[lane] = mix(word);
            }
        }
        Self { state, block: [0; BLOCK], used: BLOCK }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if self.used == BLOCK {
            fill_words(&mut self.state, &mut self.block);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// A number in (0, 1).
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        f64::unit_from_bits(self.next_u64())
    }

    /// An index in `0..n` (Lemire 2019 without the rejection: the bias is below n / 2^64).
    #[inline]
    pub fn index(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Permutes the columns of `d` numbers uniformly at random (Fisher and Yates 1938).
    pub fn shuffle_columns<T>(&mut self, x: &mut [T], d: usize) {
        for i in (1..x.len() / d.max(1)).rev() {
            let j = self.index(i + 1);
            (0..d).for_each(|a| x.swap(i * d + a, j * d + a));
        }
    }

    /// Fills `out` with numbers uniform in (0, 1).
    pub fn fill_uniform<T: Real>(&mut self, out: &mut [T]) {
        for v in out {
            *v = T::unit_from_bits(self.next_u64());
        }
    }

    /// Fills `out` with numbers uniform in (0, 1), in parallel: chunk c of them from the stream (key, "part", 0, c),
    /// where key is the next word.
    pub fn fill_uniform_in_parts<T: Real>(&mut self, out: &mut [T]) {
        self.for_parts(out, parallel::CHUNK, |part, out| part.fill_uniform(out));
    }

    /// Runs `f(its stream, its part)` on parts of `size` elements, in parallel; see [`Self::fill_uniform_in_parts`].
    pub(crate) fn for_parts<T: Send>(
        &mut self,
        data: &mut [T],
        size: usize,
        f: impl Fn(&mut Stream, &mut [T]) + Sync,
    ) {
        let key = self.next_u64();
        parallel::for_chunks(data, size, |c, part| f(&mut Stream::new(key, "part", 0, c as u64), part));
    }

    /// Fills `out` with standard Gaussians. Each call starts a new block of random words.
    pub fn fill_normal<T: Real>(&mut self, out: &mut [T]) {
        let mut words = [0; BLOCK];
        let mut pair = [[T::ZERO; BLOCK]; 2];
        for chunk in out.chunks_mut(2 * BLOCK) {
            fill_words(&mut self.state, &mut words);
            let [a, b] = &mut pair;
            if T::LANES == 16 {
                // 32 bits suffice for an f32: one word gives both numbers.
                box_muller_halves(&words, a, b);
            } else {
                let mut more = [0; BLOCK];
                fill_words(&mut self.state, &mut more);
                box_muller(&words, &more, a, b);
            }
            let half = chunk.len().min(BLOCK);
            let rest = chunk.len() - half;
            chunk[..half].copy_from_slice(&a[..half]);
            chunk[half..].copy_from_slice(&b[..rest]);
        }
        self.used = BLOCK;
    }
}

simd_fn! {
    fn fill_words(state: &mut [[u64; LANES]; 4], out: &mut [u64; BLOCK]) {
        let [s0, s1, s2, s3] = state;
        for out in out.as_chunks_mut::<LANES>().0 {
            for l in 0..LANES {
                out[l] = s0[l].wrapping_add(s3[l]).rotate_left(23).wrapping_add(s0[l]);
                let t = s1[l] << 17;
                s2[l] ^= s0[l];
                s3[l] ^= s1[l];
                s1[l] ^= s2[l];
                s0[l] ^= s3[l];
                s2[l] ^= t;
                s3[l] = s3[l].rotate_left(45);
            }
        }
    }

    fn box_muller_halves<T: Real>(words: &[u64; BLOCK], a: &mut [T; BLOCK], b: &mut [T; BLOCK]) {
        for i in 0..BLOCK {
            let (u, v) = (T::unit_from_bits(words[i]), T::unit_from_bits(words[i] << 32));
            (a[i], b[i]) = polar(u, v);
        }
    }

    fn box_muller<T: Real>(u: &[u64; BLOCK], v: &[u64; BLOCK], a: &mut [T; BLOCK], b: &mut [T; BLOCK]) {
        for i in 0..BLOCK {
            (a[i], b[i]) = polar(T::unit_from_bits(u[i]), T::unit_from_bits(v[i]));
        }
    }
}

#[inline(always)]
fn polar<T: Real>(u: T, v: T) -> (T, T) {
    let r = (T::of(-2.0) * u.ln()).sqrt();
    let (sin, cos) = (T::of(std::f64::consts::TAU) * v).sin_cos();
    (r * cos, r * sin)
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn shuffled_columns_stay_whole_and_every_order_is_as_likely() {
        let (mut stream, mut counts) = (Stream::new(3, "test", 0, 0), std::collections::HashMap::new());
        for _ in 0..6000 {
            let mut x = [0, 10, 1, 11, 2, 12];
            stream.shuffle_columns(&mut x, 2);
            assert!(x.chunks(2).all(|c| c[1] == c[0] + 10));
            *counts.entry([x[0], x[2], x[4]]).or_insert(0) += 1;
        }
        // Six orders of 1000 each; five standard deviations.
        assert!(counts.len() == 6 && counts.values().all(|n: &i32| (n - 1000).abs() < 145), "{counts:?}");
    }

    #[test]
    fn parts_are_streams_of_their_own_on_any_number_of_threads() {
        let n = 2 * parallel::CHUNK + 5;
        let fill = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut stream, mut u) = (Stream::new(1, "test", 0, 0), vec![0.0_f64; n]);
            pool.install(|| stream.fill_uniform_in_parts(&mut u));
            (u, stream.next_u64())
        };
        let one = fill(1);
        assert_eq!(fill(3), one);
        let mut stream = Stream::new(1, "test", 0, 0);
        let key = stream.next_u64();
        for (c, part) in one.0.chunks(parallel::CHUNK).enumerate() {
            let mut want = vec![0.0; part.len()];
            Stream::new(key, "part", 0, c as u64).fill_uniform(&mut want);
            assert_eq!(part, want);
        }
        assert_eq!(one.1, stream.next_u64(), "one word is taken");
        let mean = one.0.iter().sum::<f64>() / n as f64;
        // Five standard deviations.
        assert!((mean - 0.5).abs() < 5.0 / (12.0 * n as f64).sqrt(), "{mean}");
    }

    #[test]
    fn each_lane_is_xoshiro256_plus_plus() {
        let mut stream = Stream::new(7, "test", 3, 1);
        let seed = |l: usize| {
            let mut bytes = [0; 32];
            for k in 0..4 {
                bytes[8 * k..8 * k + 8].copy_from_slice(&stream.state[k][l].to_le_bytes());
            }
            bytes
        };
        let mut reference: Vec<_> = (0..LANES).map(|l| Xoshiro256PlusPlus::from_seed(seed(l))).collect();
        for i in 0..10 * BLOCK {
            assert_eq!(stream.next_u64(), reference[i % LANES].next_u64());
        }
    }

    #[test]
    fn coordinates_give_distinct_streams_and_fixed_values() {
        let first = |seed, purpose, step, chunk| Stream::new(seed, purpose, step, chunk).next_u64();
        let all = [
            first(1, "a", 0, 0),
            first(2, "a", 0, 0),
            first(1, "b", 0, 0),
            first(1, "a", 1, 0),
            first(1, "a", 0, 1),
        ];
        for i in 0..all.len() {
            for j in 0..i {
                assert_ne!(all[i], all[j]);
            }
        }
        // Value stability: results in the documentation depend on this number.
        assert_eq!(first(0, "noise", 0, 0), GOLDEN_WORD);
    }

    const GOLDEN_WORD: u64 = 10_880_996_126_324_774_816;

    fn moments<T: Real>() {
        const N: usize = 400_000;
        let mut x = vec![T::ZERO; N];
        Stream::new(3, "moments", 0, 0).fill_normal(&mut x);
        let m = |p: i32| x.iter().map(|v| v.f64().powi(p)).sum::<f64>() / N as f64;
        // Six standard errors: var(z) = 1, var(z^2) = 2, var(z^3) = 15, var(z^4) = 96.
        let se = 6.0 / (N as f64).sqrt();
        assert!(m(1).abs() < se, "mean {}", m(1));
        assert!((m(2) - 1.0).abs() < se * 2f64.sqrt(), "variance {}", m(2));
        assert!(m(3).abs() < se * 15f64.sqrt(), "skewness {}", m(3));
        assert!((m(4) - 3.0).abs() < se * 96f64.sqrt(), "kurtosis {}", m(4));
        let lag: f64 = x.windows(2).map(|w| w[0].f64() * w[1].f64()).sum::<f64>() / N as f64;
        assert!(lag.abs() < se, "correlation {lag}");
        // The tail beyond 3 holds 0.27 % of the mass.
        let tail = x.iter().filter(|v| v.f64().abs() > 3.0).count() as f64 / N as f64;
        assert!((tail - 0.0026998).abs() < 6.0 * (0.0027 / N as f64).sqrt(), "tail {tail}");
    }

    #[test]
    fn gaussians_have_the_moments_of_the_normal_law() {
        moments::<f32>();
        moments::<f64>();
    }

    #[test]
    fn indices_are_uniform() {
        let mut s = Stream::new(1, "index", 0, 0);
        let mut count = [0.0; 7];
        (0..70_000).for_each(|_| count[s.index(7)] += 1.0);
        let chi2: f64 = count.iter().map(|c: &f64| (c - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 35.0, "chi2 {chi2} with 6 degrees of freedom");
    }
}
