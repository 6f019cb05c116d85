//! Matrix products on packed operands, for kernels that lay out their own memory.
//!
//! A panel is [`LANES`] rows of a matrix, column after column (a micro-panel in the terms of BLIS, Van Zee and
//! van de Geijn 2015). The panels of a matrix follow each other, and the last one is filled up with rows of
//! zeros. Passes over panels touch whole vectors of whole cache lines, and both products below read panels as
//! they are: no operand is packed before it is multiplied, which is what a general product spends a tenth of its
//! time on for matrices of a hundred rows.
//!
//! [`product`] is W x with W in panels, [`outer`] is a b^T with a in panels; the other operand may lie in
//! panels or in columns. Every entry is one sum in the order of its terms, with each product fused into it, so
//! tiles of any shape and every SIMD level agree bit for bit. Tiles are written in vector registers
//! (`register`), whose number decides on their shape.

mod layout;
mod outer;
mod product;
mod register;

pub(crate) use layout::put_part;
pub use layout::{LANES, Lanes, Operand, Output, Packed, add_unpacked, count, pack, pack_transposed};
pub use outer::outer;
pub use product::product;
pub use register::HasRegisters;

#[cfg(test)]
mod tests;
