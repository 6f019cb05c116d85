//! NumPy's `.npy` format, version 1.0: n samples of dimension d as a C-ordered [n, d] array of
//! little-endian floats, which is byte for byte our column-major d x n.

use engine::Real;

/// The file's bytes.
pub fn encode<T: Real>(dim: usize, columns: &[T]) -> Vec<u8> {
    let n = columns.len() / dim.max(1);
    let mut header =
        format!("{{'descr': '<f{}', 'fortran_order': False, 'shape': ({n}, {dim}), }}", size_of::<T>());
    // Magic (6), version (2), length (2), header, newline: a multiple of 64 in all.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    T::append_bytes(columns, &mut bytes);
    bytes
}

/// What a file says of its array, of version 1 to 3.
pub(crate) struct Header<'a> {
    /// The version of the format.
    pub version: u8,
    /// The type of an entry.
    pub descr: &'a str,
    /// The axes.
    pub shape: Vec<usize>,
    /// Whether the first axis runs fastest (Fortran's order), not the last.
    pub fortran: bool,
    /// Where the entries begin.
    pub end: usize,
}

/// Reads the header; an error goes on from the name of the file.
pub(crate) fn header(bytes: &[u8]) -> Result<Header<'_>, String> {
    if bytes.len() < 12 || &bytes[..6] != b"\x93NUMPY" {
        return Err("is not an npy array".into());
    }
    let version = bytes[6];
    let (start, length): (usize, usize) = match version {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let end = start.saturating_add(length);
    let header = bytes.get(start..end).ok_or("is truncated in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}':")).ok_or(format!("lacks '{key}' in its header"))?;
        Ok::<&str, String>(header[at + key.len() + 3..].trim_start())
    };
    let fortran = field("fortran_order")?.starts_with("True");
    let shape = field("shape")?.strip_prefix('(').and_then(|s| s.split_once(')'));
    let shape = shape.ok_or("has a malformed shape")?.0;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse).collect();
    let shape = sizes.map_err(|_| "has a malformed shape")?;
    let descr = field("descr")?.trim_start_matches('\'').split('\'').next().unwrap_or_default();
    Ok(Header { version, descr, shape, fortran, end })
}

/// Reads a one- or two-dimensional float array: (rows of the array, its columns, entries row by row).
pub fn decode(bytes: &[u8]) -> Result<(usize, usize, Vec<f64>), String> {
    let Header { version, descr, shape, fortran, end } = header(bytes)?;
    if fortran {
        return Err("is in Fortran order; save numpy.ascontiguousarray(x)".into());
    }
    if version != 1 {
        return Err(format!("npy version {version} is not supported; save it with numpy.save"));
    }
    let (rows, cols) = match shape.as_slice() {
        [n] => (*n, 1),
        [n, d] => (*n, *d),
        other => return Err(format!("it has {} axes; one or two are wanted", other.len())),
    };
    let width: usize = match descr {
        "<f4" => 4,
        "<f8" => 8,
        _ => {
            return Err(format!("its entries are {descr}; little-endian float32 or float64 are wanted"));
        }
    };
    let data = &bytes[end..];
    let wanted = rows.checked_mul(cols).and_then(|n| n.checked_mul(width)).ok_or("its shape is too large")?;
    if data.len() != wanted {
        return Err(format!(
            "a [{rows}, {cols}] array needs {wanted} bytes of data, the file has {}",
            data.len()
        ));
    }
    let values = if width == 4 {
        f32::from_bytes(data).into_iter().map(f64::from).collect()
    } else {
        f64::from_bytes(data)
    };
    Ok((rows, cols, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let x = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.5];
        let bytes = encode(2, &x);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(decode(&bytes).unwrap(), (3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5]));
        assert_eq!(decode(&encode::<f64>(3, &[])).unwrap(), (0, 3, vec![]));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let bytes = encode(2, &[1.0_f64; 8]);
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "cut at {n}");
        }
        let mut wrong = bytes.clone();
        wrong.push(0);
        assert!(decode(&wrong).unwrap_err().contains("needs 64 bytes"));
        assert!(decode(b"PK\x03\x04 not numpy").unwrap_err().contains("not an npy"));
    }
}
