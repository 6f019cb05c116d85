//! Buffers for kernels that begin at a cache line, large ones on huge pages.
//!
//! System allocators begin large buffers 16 bytes behind a cache line. Then every second vector of a column crosses a
//! line and takes two reads, and a column of 128 bytes is three lines in place of two.
//!
//! A sparse product reads columns in any order, so that nearly every read of a buffer of many megabytes misses the TLB
//! for pages of 4 KiB. Linux uses pages of 2 MiB if it is advised so before the first write; on other systems, or if
//! it refuses, small pages are used.

use std::any::Any;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use crate::{Real, parallel};

/// Bytes of a cache line.
const LINE: usize = 64;

/// `len` rounded up so that what follows begins at a cache line.
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(LINE / size_of::<f32>())
}

/// An aligned buffer that only grows.
pub struct AlignedBuffer<T> {
    /// The entries are those from `start` on.
    data: Vec<T>,
    start: usize,
}

impl<T> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self { data: Vec::new(), start: 0 }
    }
}

impl<T: Real> AlignedBuffer<T> {
    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.grow(len);
        buffer
    }

    /// Lengthens the buffer to at least `len` entries; new ones are zero.
    pub fn grow(&mut self, len: usize) {
        let held = self.len();
        if held >= len {
            return;
        }
        let most = LINE / size_of::<T>();
        if self.data.capacity() < len + most {
            // Doubling: few copies of a small buffer that grows op by op. A large one is moved by the system.
            self.data.reserve(len + most - self.data.len());
            advise(self.data.as_ptr(), self.data.capacity());
            // `align_offset` may fail; then the buffer is not aligned.
            let start = Some(self.data.as_ptr().align_offset(LINE)).filter(|s| *s <= most).unwrap_or(0);
            if start != self.start {
                self.data.resize(self.data.len().max(start + held), T::ZERO);
                self.data.copy_within(self.start..self.start + held, start);
                self.data.truncate(start + held);
                self.start = start;
            }
        }
        lengthen(&mut self.data, self.start + len);
    }
}

/// Appends zeros up to a length. Many are written by all threads: a page lies in the memory of the processor that writes
/// to it first, and what one thread wrote would all lie in that of one.
#[allow(unsafe_code)]
fn lengthen<T: Real>(data: &mut Vec<T>, len: usize) {
    /// Entries of a task: many pages, few of the huge ones.
    const TASK: usize = 1 << 20;
    let new = len - data.len();
    if new <= TASK {
        return data.resize(len, T::ZERO);
    }
    parallel::for_chunks(&mut data.spare_capacity_mut()[..new], TASK, |_, part| {
        part.iter_mut().for_each(|entry| {
            entry.write(T::ZERO);
        });
    });
    // SAFETY: the entries up to here have just been written.
    unsafe { data.set_len(len) };
}

impl<T> Deref for AlignedBuffer<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.data[self.start..]
    }
}

impl<T> DerefMut for AlignedBuffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

thread_local! {
    /// One buffer per thread, of the scalar type last used.
    static SPARE: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
}

/// Runs `f` on `len` entries (uninitialised: contents unspecified) of this thread's scratch buffer, which is reused by
/// later calls: large new memory would be mapped each time. A call within `f` gets another buffer.
pub(crate) fn with_scratch<T: Real, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let kept = SPARE.take().and_then(|kept| kept.downcast::<AlignedBuffer<T>>().ok());
    let mut space = kept.unwrap_or_default();
    space.grow(len);
    let result = f(&mut space[..len]);
    SPARE.set(Some(space));
    result
}

/// Asks for huge pages under the whole buffer, its first and last pages included: a mapping of which only a part is
/// advised is two, and the system cannot move two to where there is room for more. The allocator then copies, and for
/// that time takes the memory of both.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code)]
fn advise<T>(start: *const T, capacity: usize) {
    const PAGE: usize = 4096;
    // Smallest buffer, in bytes, for which huge pages are requested.
    const WORTH_IT: usize = 4 << 20;
    let bytes = capacity * size_of::<T>();
    if bytes < WORTH_IT {
        return;
    }
    let first = start as usize & !(PAGE - 1);
    let length = (start as usize + bytes).next_multiple_of(PAGE) - first;
    // SAFETY: the range is the pages that a live allocation lies in, and this advice never changes what pages hold.
    // Its failure is no error: small pages stay.
    unsafe {
        libc::madvise(first as *mut libc::c_void, length, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise<T>(_: *const T, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_begin_at_a_line_as_a_buffer_grows() {
        let mut data = AlignedBuffer::<f32>::zeros(2);
        data.copy_from_slice(&[1.0, 2.0]);
        // Others' buffers in between, so that growing means moving.
        let mut others = Vec::new();
        for len in [0, 1, 2, 3, 17, 1000, 5000, 1 << 21, 1 << 22] {
            others.push(vec![0_u8; len % 4096 + 1]);
            data.grow(len);
            assert_eq!(data.len(), len.max(2));
            assert_eq!(data[..2], [1.0, 2.0]);
            assert!(data[2..].iter().all(|v| *v == 0.0));
            assert_eq!(data.as_ptr() as usize % LINE, 0);
        }
    }

    #[test]
    fn a_spare_buffer_is_used_again_but_not_by_two_at_once() {
        let place = |len| with_scratch(len, |x: &mut [f64]| x.as_ptr());
        let first = place(100);
        assert_eq!(place(50), first);
        with_scratch(10, |outer: &mut [f64]| {
            outer.fill(1.0);
            with_scratch(10, |inner: &mut [f64]| inner.fill(2.0));
            with_scratch(10, |inner: &mut [f32]| inner.fill(3.0));
            assert_eq!(*outer, [1.0; 10]);
        });
    }

    #[test]
    fn a_padded_length_is_whole_lines() {
        assert_eq!([0, 1, 16, 17].map(padded), [0, 16, 16, 32]);
    }
}
