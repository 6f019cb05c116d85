//! The fixed structure of a sparse matrix in CSR and CSC order, divided into tasks of equal work.
//!
//! S is m x n; entry e in row i and column j is the edge of a graph with receiver i and sender j. Entries are
//! numbered in CSR order (by row, then by column).

use std::ops::Range;
use std::sync::OnceLock;

use sprs::{CsMatI, SpIndex};

use super::degree_order::DegreeOrder;
use crate::{Real, Shape, parallel};

/// Entries per task: ten microseconds or so for usual numbers of features; with half as many a Runge-Kutta step takes
/// 4 % longer on two threads. A constant, so that results do not depend on the number of threads.
const TASK: usize = 512;

/// The structure of a sparse matrix.
#[derive(Debug)]
pub struct Pattern {
    shape: Shape,
    /// Entries of each row.
    pub(crate) by_row: CompressedAxis,
    /// Entries of each column.
    pub(crate) by_col: CompressedAxis,
    /// The nodes sorted by degree; computed on first use.
    degree_order: OnceLock<DegreeOrder>,
}

/// Entries grouped by row (or by column): the other index of each, and its number.
#[derive(Debug)]
pub(crate) struct CompressedAxis {
    starts: Vec<usize>,
    others: Vec<u32>,
    /// The number of each entry; empty if entries are in the order of their numbers.
    numbers: Vec<u32>,
    /// Task k processes the groups tasks\[k\]..tasks\[k + 1\].
    tasks: Vec<usize>,
}

impl Pattern {
    /// The structure of `matrix`, and its values in the order of their numbers. Panics beyond 2^32 - 2 rows,
    /// columns or entries.
    pub(super) fn new<T: Real, I: SpIndex, P: SpIndex>(matrix: &CsMatI<T, I, P>) -> (Self, Vec<T>) {
        if !matrix.is_csr() {
            return Self::new(&matrix.to_csr());
        }
        let (rows, cols) = matrix.shape();
        let limit = u32::MAX as usize;
        assert!(matrix.nnz() < limit && rows < limit && cols < limit, "a pattern has 32-bit indices");
        let starts: Vec<usize> = matrix.proper_indptr().iter().map(|n| n.index()).collect();
        let others: Vec<u32> = matrix.indices().iter().map(|n| n.index() as u32).collect();
        let by_col = transposed(&starts, &others, cols);
        let by_row = CompressedAxis::new(starts, others, Vec::new());
        let shape = Shape::new(rows, cols);
        (Self { shape, by_row, by_col, degree_order: OnceLock::new() }, matrix.data().to_vec())
    }

    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.by_row.others.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The numbers of the entries of row i.
    pub fn row(&self, i: usize) -> Range<usize> {
        self.by_row.starts[i]..self.by_row.starts[i + 1]
    }
    /// The column of each entry.
    pub fn columns(&self) -> &[u32] {
        &self.by_row.others
    }
    /// The row of each entry.
    pub fn rows(&self) -> impl Iterator<Item = u32> {
        (0..self.shape.rows).flat_map(|i| self.row(i).map(move |_| i as u32))
    }

    /// The nodes of a square pattern sorted by degree.
    pub(crate) fn degree_order(&self) -> &DegreeOrder {
        self.degree_order.get_or_init(|| DegreeOrder::new(self))
    }

    /// Runs `f(i, the slice of row i's entries)` for every row, with `stride` numbers for each entry.
    pub(crate) fn for_rows<T: Send>(
        &self,
        data: &mut [T],
        stride: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        self.by_row.for_tasks(
            [data],
            |[_, entries, _]| [entries * stride],
            |_, rows, [mut part]| {
                for i in rows {
                    let (row, rest) = part.split_at_mut(stride * self.row(i).len());
                    f(i, row);
                    part = rest;
                }
            },
        );
    }
}

/// The entries of rows, given by their columns, grouped by column: sorted by counting, so that nothing is copied
/// twice.
fn transposed(starts: &[usize], columns: &[u32], cols: usize) -> CompressedAxis {
    let mut ends = vec![0; cols + 1];
    columns.iter().for_each(|j| ends[*j as usize + 1] += 1);
    (0..cols).for_each(|j| ends[j + 1] += ends[j]);
    let mut next = ends.clone();
    let (mut rows, mut numbers) = (vec![0; columns.len()], vec![0; columns.len()]);
    for (i, row) in starts.windows(2).enumerate() {
        for e in row[0]..row[1] {
            let place = &mut next[columns[e] as usize];
            (rows[*place], numbers[*place]) = (i as u32, e as u32);
            *place += 1;
        }
    }
    CompressedAxis::new(ends, rows, numbers)
}

impl CompressedAxis {
    fn new(starts: Vec<usize>, others: Vec<u32>, numbers: Vec<u32>) -> Self {
        let groups = starts.len() - 1;
        let mut tasks = vec![0];
        let mut work = 0;
        for g in 0..groups {
            work += 1 + starts[g + 1] - starts[g];
            if work >= TASK || g + 1 == groups {
                tasks.push(g + 1);
                work = 0;
            }
        }
        Self { starts, others, numbers, tasks }
    }

    /// The same entries with permuted nodes: node `nodes[p]` becomes p, and `places` is the inverse permutation.
    /// The order of entries within a group is kept.
    pub(crate) fn renamed(&self, nodes: &[u32], places: &[u32]) -> Self {
        let (mut starts, mut others, mut numbers) = (vec![0], Vec::new(), Vec::new());
        for node in nodes {
            let (group, group_numbers) = self.group(*node as usize);
            others.extend(group.iter().map(|other| places[*other as usize]));
            numbers.extend((0..group.len()).map(|k| group_numbers.get(k) as u32));
            starts.push(others.len());
        }
        Self::new(starts, others, numbers)
    }

    /// The number of each entry of an order whose numbers are listed.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The other indices of group g's entries, and their numbers.
    #[inline]
    pub(crate) fn group(&self, g: usize) -> (&[u32], EdgeIds<'_>) {
        let entries = self.starts[g]..self.starts[g + 1];
        let numbers = match self.numbers.is_empty() {
            true => EdgeIds::From(entries.start),
            false => EdgeIds::List(&self.numbers[entries.clone()]),
        };
        (&self.others[entries], numbers)
    }

    /// The range of group g's entries in this order.
    #[inline]
    pub(crate) fn entries(&self, g: usize) -> Range<usize> {
        self.starts[g]..self.starts[g + 1]
    }

    /// Those of the values `w` that belong to some groups, in this order, into `out`.
    pub(crate) fn sorted<T: Copy>(&self, groups: Range<usize>, w: &[T], out: &mut [T]) {
        let entries = self.starts[groups.start]..self.starts[groups.end];
        match self.numbers.is_empty() {
            true => out.copy_from_slice(&w[entries]),
            false => out.iter_mut().zip(&self.numbers[entries]).for_each(|(out, k)| *out = w[*k as usize]),
        }
    }

    /// The other indices of all entries from the beginning of group g on.
    #[inline]
    pub(crate) fn from(&self, g: usize) -> &[u32] {
        &self.others[self.starts[g]..]
    }

    /// Runs `f(g, column g of out)` for every group, in parallel tasks; columns have `rows` numbers.
    pub(crate) fn for_groups<T: Send>(&self, out: &mut [T], rows: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        if rows == 0 {
            return;
        }
        self.for_tasks(
            [out],
            |[groups, ..]| [groups * rows],
            |_, groups, [part]| {
                groups.zip(part.chunks_exact_mut(rows)).for_each(|(g, column)| f(g, column));
            },
        );
    }

    /// Number of tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len() - 1
    }

    /// Runs `f(task, its groups, its part of each array)` for every task, in parallel. `at` says where a task's
    /// parts begin, given the numbers of groups, of entries and of tasks before it.
    pub(crate) fn for_tasks<T: Send, const N: usize>(
        &self,
        arrays: [&mut [T]; N],
        at: impl Fn([usize; 3]) -> [usize; N] + Sync,
        f: impl Fn(usize, Range<usize>, [&mut [T]; N]) + Sync,
    ) {
        self.for_some_tasks(self.tasks(), arrays, at, f);
    }

    /// The same with no more than `most` tasks (0 where there is no group): for work that keeps something for each.
    pub(crate) fn for_some_tasks<T: Send, const N: usize>(
        &self,
        most: usize,
        arrays: [&mut [T]; N],
        at: impl Fn([usize; 3]) -> [usize; N] + Sync,
        f: impl Fn(usize, Range<usize>, [&mut [T]; N]) + Sync,
    ) {
        let count = self.tasks().min(most);
        let first = |task: usize| self.tasks[task * self.tasks() / count.max(1)];
        let begin = |task: usize| at([first(task), self.starts[first(task)], task]);
        split(arrays, 0..count, &begin, &|task, parts| f(task, first(task)..first(task + 1), parts));
    }
}

/// The numbers of a group's entries.
#[derive(Clone, Copy)]
pub(crate) enum EdgeIds<'a> {
    /// Consecutive, from the first.
    From(usize),
    /// One by one.
    List(&'a [u32]),
}

impl EdgeIds<'_> {
    /// The number of the group's k-th entry.
    #[inline]
    pub(crate) fn get(self, k: usize) -> usize {
        match self {
            Self::From(first) => first + k,
            Self::List(list) => list[k] as usize,
        }
    }
}

/// Runs `f(task, parts)` for the tasks of a range on the parts of `arrays`, each of which begins where `begin`
/// says.
fn split<T: Send, const N: usize>(
    arrays: [&mut [T]; N],
    tasks: Range<usize>,
    begin: &(impl Fn(usize) -> [usize; N] + Sync),
    f: &(impl Fn(usize, [&mut [T]; N]) + Sync),
) {
    match tasks.len() {
        0 => {}
        1 => f(tasks.start, arrays),
        n => {
            let middle = tasks.start + n / 2;
            let (first, cut) = (begin(tasks.start), begin(middle));
            let mut left = arrays;
            let mut k = 0;
            let right = left.each_mut().map(|array| {
                let (before, behind) = std::mem::take(array).split_at_mut(cut[k] - first[k]);
                *array = before;
                k += 1;
                behind
            });
            parallel::join(
                || split(left, tasks.start..middle, begin, f),
                || split(right, middle..tasks.end, begin, f),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use sprs::TriMat;

    use super::*;

    #[test]
    fn tasks_have_all_groups_once_however_few_they_are() {
        let n = 40 * TASK;
        let mut edges = TriMat::<f64>::new((n, n));
        (0..n).for_each(|i| edges.add_triplet(i, i / 2, 1.0));
        let axis = Pattern::new(&edges.to_csr::<usize>()).0.by_row;
        assert!(axis.tasks() > 70);
        for most in [1, 7, 64, usize::MAX] {
            let (mut groups, mut tasks) = (vec![0; n], vec![0; axis.tasks().min(most)]);
            let at = |[groups, _, tasks]: [usize; 3]| [groups, tasks];
            axis.for_some_tasks(most, [&mut groups, &mut tasks], at, |task, range, [groups, own]| {
                assert!(groups.len() == range.len() && own.len() == 1);
                groups.iter_mut().zip(range).for_each(|(g, i)| *g += 1000 * task + i + 1);
                own[0] += 1;
            });
            assert!(tasks.iter().all(|t| *t == 1), "{most}");
            let in_order =
                groups.iter().zip(1..).map(|(g, i): (&usize, usize)| (g - i) / 1000).collect::<Vec<_>>();
            assert!(in_order.is_sorted() && in_order.last() == Some(&(tasks.len() - 1)), "{most}");
        }
        let nothing = Pattern::new(&TriMat::<f64>::new((0, 0)).to_csr::<usize>()).0.by_row;
        nothing.for_some_tasks(3, [&mut [0_u8; 0][..]], |_| [0], |_, _, _| panic!("no task"));
    }
}
