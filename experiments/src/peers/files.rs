//! The peers that ship with the program.

use std::path::Path;

/// A framework in one setting.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The framework: a column of the table, in which its best setting is.
    pub framework: &'static str,
    /// The setting, first argument of the file.
    pub variant: &'static str,
    /// The file.
    pub file: &'static str,
}

const fn kind(framework: &'static str, variant: &'static str, file: &'static str) -> Kind {
    Kind { framework, variant, file }
}

/// Every peer.
pub const KINDS: &[Kind] = &[
    kind("PyTorch", "eager", "peer_torch.py"),
    kind("PyTorch", "compiled", "peer_torch.py"),
    kind("JAX", "jit", "peer_jax.py"),
    kind("JAX", "onednn", "peer_jax.py"),
    kind("IREE", "iree", "peer_jax.py"),
    kind("SciPy", "scipy", "peer_sparse.py"),
    kind("MKL", "mkl", "peer_sparse.py"),
    kind("Numba", "loops", "peer_numba.py"),
    kind("C", "omp", "peer_c.py"),
];

macro_rules! shipped {
    ($($name:literal),+) => { &[$(($name, include_str!(concat!("../../peers/", $name)))),+] };
}

const FILES: &[(&str, &str)] = shipped!(
    "peer.py",
    "peer_torch.py",
    "peer_jax.py",
    "peer_sparse.py",
    "peer_numba.py",
    "peer_c.py",
    "kernels.c"
);

/// Writes the files into a folder.
///
/// # Errors
/// The folder does not take them.
pub fn write(folder: &Path) -> std::io::Result<()> {
    FILES.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_file() {
        for kind in KINDS {
            let (_, text) = FILES.iter().find(|(name, _)| *name == kind.file).unwrap();
            assert!(text.contains("peer.serve("), "{}", kind.file);
        }
    }
}
