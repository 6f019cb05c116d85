//! Planetoid's files (Yang, Cohen and Salakhutdinov 2016): ind.NAME.{allx,ally,tx,ty,y,graph}, pickles of
//! sparse features, one-hot labels and lists of neighbours, and ind.NAME.test.index.

use std::path::{Path, PathBuf};

use models::gnn::Split;
use models::gnn::data::features::Csr;

use super::classes::Classes;
use super::csr;
use super::import::sparse;
use super::native_npz::MOST_FEATURES;
use super::pickle::{At, Pickle};
use super::reading::{Listed, Reading, dataset};
use super::text::Lines;
use crate::npy::Array;
use crate::read;
use crate::run::error::CliError;

/// Nodes that the public split is selected on: those that follow the nodes to learn from.
const VALIDATION: usize = 500;

/// The files of a set in a folder.
pub fn files(folder: &Path, set: &str) -> Vec<PathBuf> {
    let ends = ["graph", "allx", "ally", "tx", "ty", "y", "test.index"];
    ends.iter().map(|end| folder.join(format!("ind.{set}.{end}"))).collect()
}

/// Nodes 0 to rows(allx) have their features in allx, those that test.index lists in tx, line by line; any
/// others are nodes without features or label (15 in Citeseer).
pub fn planetoid(folder: &Path, set: &str, name: &str) -> Result<Reading, CliError> {
    let read = |end: &str| File::read(folder.join(format!("ind.{set}.{end}")));
    let graph = read("graph")?;
    let (nodes, raw) = graph.edges()?;
    let (known, tested) = (read("allx")?.features()?, read("tx")?.features()?);
    let (known_labels, tested_labels) = (read("ally")?.classes()?, read("ty")?.classes()?);
    let mut test = test_nodes(&folder.join(format!("ind.{set}.test.index")), known.rows(), nodes)?;
    let pairs = [
        ("allx", "ally", known.rows(), known_labels.len()),
        ("tx", "ty", tested.rows(), tested_labels.len()),
        ("tx", "test.index", tested.rows(), test.len()),
    ];
    if let Some((a, b, m, n)) = pairs.into_iter().find(|(.., m, n)| m != n) {
        return Err(graph.wrong(format!("beside it {a} has {m} nodes, {b} {n}")));
    }
    if known.cols() != tested.cols() {
        let (m, n) = (known.cols(), tested.cols());
        return Err(graph.wrong(format!("beside it allx has {m} features, tx {n}")));
    }
    if known.rows() > nodes {
        return Err(graph.wrong(format!("has {nodes} nodes, allx {}", known.rows())));
    }
    let rows = known.iter().map(|(v, (i, j))| (i as usize, j as usize, *v));
    let rows = rows
        .chain(tested.iter().map(|(v, (k, j))| (test[k as usize], j as usize, *v)))
        .filter(|(.., v)| *v != 0.0);
    let features = sparse(nodes, Some(known.cols()), rows);
    let mut classes = vec![None; nodes];
    classes[..known.rows()].copy_from_slice(&known_labels);
    test.iter().zip(&tested_labels).for_each(|(node, class)| classes[*node] = *class);
    let train = read("y")?.classes()?.len();
    test.sort_unstable();
    let list = |range: std::ops::Range<usize>| range.map(|i| i as u32).collect();
    let codes: Vec<_> = classes.iter().map(|c| c.map(i64::from)).collect();
    let classes = Classes::of_codes(&codes).map_err(|what| graph.wrong(format!("holds {what}")))?;
    let mut reading = dataset(name, &graph.path, Listed::from(raw), features, classes)?;
    // Neighbours are listed both ways, some twice.
    reading.data.raw_edges = None;
    reading.data.public = Some(Split {
        train: list(0..train),
        validation: list(train..(train + VALIDATION).min(known.rows())),
        test: test.iter().map(|i| *i as u32).collect(),
    });
    Ok(reading)
}

/// The nodes that a file lists, each between `known` and `nodes`, and once.
fn test_nodes(path: &Path, known: usize, nodes: usize) -> Result<Vec<usize>, CliError> {
    let index = Lines::read(path)?;
    let (mut test, mut taken) = (Vec::new(), vec![false; nodes]);
    for (k, line) in index.filled() {
        let node: usize = index.number(k, line.trim())?;
        if node >= nodes || node < known {
            let what = format!("node {node} is none between the {known} of allx and the {nodes} of graph");
            return Err(index.wrong(k, what));
        }
        if std::mem::replace(&mut taken[node], true) {
            return Err(index.wrong(k, format!("node {node} is given twice")));
        }
        test.push(node);
    }
    Ok(test)
}

/// A pickle, and its place for messages.
struct File {
    path: PathBuf,
    pickle: Pickle,
    /// Its bytes.
    length: usize,
}

impl File {
    fn read(path: PathBuf) -> Result<Self, CliError> {
        let bytes = read::bytes(&path, read::DATA)?;
        match Pickle::parse(&bytes) {
            Ok(pickle) => Ok(Self { path, pickle, length: bytes.len() }),
            Err(what) => Err(CliError::usage(format!("{}: {what}", path.display()))),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> CliError {
        CliError::usage(format!("{}: {what}", self.path.display()))
    }

    /// The number of nodes, and edges: a dictionary from each node to the list of its neighbours.
    fn edges(&self) -> Result<(usize, Vec<(u32, u32)>), CliError> {
        let wrong = |what: String| self.wrong(what);
        let entries = self.pickle.entries(self.pickle.root).map_err(wrong)?;
        let node = |at: At| {
            let v = self.pickle.integer(at).map_err(wrong)?;
            let fits = u32::try_from(v).ok().filter(|v| (*v as usize) < entries.len());
            fits.ok_or_else(|| wrong(format!("names node {v}; it has lists of {} nodes", entries.len())))
        };
        // Lists of neighbours may be one list that is kept once and named many times: a small file then makes a graph
        // that no machine holds. One that stands there has a byte or more for each neighbour.
        let lengths = entries.iter().map(|(_, to)| self.pickle.sequence(*to).map_or(0, <[At]>::len));
        let neighbours = lengths.fold(0, usize::saturating_add);
        if neighbours > self.length {
            return Err(wrong(format!(
                "lists {neighbours} neighbours in {} bytes: its nodes share lists, as those of no graph do",
                self.length
            )));
        }
        let (mut raw, mut listed) = (Vec::new(), vec![false; entries.len()]);
        for (from, to) in entries {
            let from = node(*from)?;
            if std::mem::replace(&mut listed[from as usize], true) {
                return Err(wrong(format!("lists the neighbours of node {from} twice")));
            }
            for to in self.pickle.sequence(*to).map_err(wrong)? {
                raw.push((from, node(*to)?));
            }
        }
        Ok((entries.len(), raw))
    }

    /// A sparse matrix of SciPy.
    fn features(&self) -> Result<Csr, CliError> {
        let matrix = || -> Result<Csr, String> {
            let part = |name: &str| self.pickle.attribute(self.pickle.root, name);
            let sizes = self.pickle.sizes(part("_shape").or_else(|_| part("shape"))?)?;
            let [rows, cols] = sizes[..] else { return Err("has a shape that is no pair".into()) };
            if cols > MOST_FEATURES {
                return Err(format!("has {cols} columns; at most {MOST_FEATURES} are possible"));
            }
            let values: Vec<f32> = self.pickle.array(part("data")?)?.floats().collect();
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(format!("holds a feature {v}; finite numbers are wanted"));
            }
            let array = |name: &str| self.pickle.array(part(name)?);
            let starts = indices(&array("indptr")?, "indptr")?;
            csr::matrix((rows, cols), starts, indices(&array("indices")?, "indices")?, values)
        };
        matrix().map_err(|what| self.wrong(what))
    }

    /// The class of each row of one-hot labels; none where no entry is set.
    fn classes(&self) -> Result<Vec<Option<u32>>, CliError> {
        let array = self.pickle.array(self.pickle.root).map_err(|what| self.wrong(what))?;
        let [_, classes] = array.shape[..] else {
            return Err(self.wrong(format!("is of shape {:?}; [nodes, classes] is wanted", array.shape)));
        };
        let entries: Vec<f32> = array.floats().collect();
        let class = |row: &[f32]| row.iter().position(|v| *v != 0.0).map(|c| c as u32);
        Ok(entries.chunks_exact(classes.max(1)).map(class).collect())
    }
}

/// Numbers that are places.
fn indices<I: TryFrom<i64>>(array: &Array, name: &str) -> Result<Vec<I>, String> {
    let entries = array.integers().ok_or(format!("has {name} of floating-point numbers"))?;
    let entries = entries
        .map(|v| I::try_from(v).map_err(|_| format!("has the number {v} in {name}, which is no place")));
    entries.collect()
}

#[cfg(test)]
mod tests {
    use models::gnn::Dataset;

    use super::*;

    /// A pickle's instructions for a text, a small number, and an array.
    fn text(text: &str) -> Vec<u8> {
        [b"U", &[text.len() as u8][..], text.as_bytes()].concat()
    }

    fn sizes(sizes: &[u8]) -> Vec<u8> {
        let sizes = sizes.iter().flat_map(|s| [b'K', *s]);
        [b'('].into_iter().chain(sizes).chain([b't']).collect()
    }

    fn array(kind: &str, shape: &[u8], data: &[u8]) -> Vec<u8> {
        [
            b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
            &sizes(shape)[..],
            b"cnumpy\ndtype\n",
            &text(kind),
            b"K\x00K\x01\x87Rr\x02\x00\x00\x00(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T",
            &(data.len() as u32).to_le_bytes(),
            data,
            b"tb",
        ]
        .concat()
    }

    fn integers(shape: &[u8], entries: &[i32]) -> Vec<u8> {
        array("i4", shape, &entries.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A matrix with one entry in each row, in these columns.
    fn csr(width: u8, columns: &[i32]) -> Vec<u8> {
        let rows = columns.len() as u8;
        let starts: Vec<i32> = (0..=i32::from(rows)).collect();
        let ones: Vec<u8> = columns.iter().flat_map(|_| 1_f32.to_le_bytes()).collect();
        [
            b"\x80\x02cscipy.sparse.csr\ncsr_matrix\n)\x81q\x00}(",
            &text("_shape")[..],
            &sizes(&[rows, width]),
            &text("indptr"),
            &integers(&[rows + 1], &starts),
            &text("indices"),
            &integers(&[rows], columns),
            &text("data"),
            &array("f4", &[rows], &ones),
            b"ub.",
        ]
        .concat()
    }

    fn labels(rows: u8, one_hot: &[i32]) -> Vec<u8> {
        [b"\x80\x02", &integers(&[rows, 2], one_hot)[..], b"."].concat()
    }

    /// Six nodes in a ring but for node 4; three are known, 5 and 3 tested.
    const GRAPH: &[u8] = b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(\
        K\x00](K\x01M\x05\x00eK\x01](K\x00K\x02K\x02eK\x02](K\x01K\x03eK\x03](K\x02K\x05eK\x04]K\x05](K\x00K\x03eu.";

    fn small() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("graph", GRAPH.to_vec()),
            ("allx", csr(3, &[0, 1, 2])),
            ("ally", labels(3, &[1, 0, 0, 1, 1, 0])),
            ("tx", csr(3, &[1, 2])),
            ("ty", labels(2, &[0, 1, 1, 0])),
            ("y", labels(1, &[1, 0])),
            ("test.index", b"5\n3\n".to_vec()),
        ]
    }

    fn read(files: &[(&str, Vec<u8>)]) -> Result<Dataset, String> {
        let dir = tempfile::tempdir().unwrap();
        for (end, bytes) in files {
            std::fs::write(dir.path().join(format!("ind.small.{end}")), bytes).unwrap();
        }
        planetoid(dir.path(), "small", "mine").map(|r| r.data).map_err(|e| e.to_string())
    }

    #[test]
    fn test_nodes_take_the_places_that_the_index_gives_them() {
        let d = read(&small()).unwrap();
        let edges = [(0, 1), (0, 5), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 5), (5, 0), (5, 3)];
        assert_eq!((d.edges, d.raw_edges), (edges.to_vec(), None));
        assert_eq!((d.labels, d.classes, d.unlabelled), (vec![0, 1, 0, 0, 0, 1], 2, vec![4]));
        let set: Vec<_> = d.features.entries().map(|(i, j, v)| ((i, j), v)).collect();
        let want = [(0, 0), (1, 1), (2, 2), (3, 2), (5, 1)].map(|place| (place, 1.0));
        assert_eq!((d.features.shape(), set), ((6, 3), want.to_vec()));
        let public = d.public.unwrap();
        assert_eq!((public.train, public.validation, public.test), (vec![0], vec![1, 2], vec![3, 5]));
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let refused = |end: &str, bytes: Vec<u8>, what: &str| {
            let mut files = small();
            files.iter_mut().find(|f| f.0 == end).unwrap().1 = bytes;
            let error = read(&files).err().unwrap();
            assert!(error.contains(what) && error.lines().count() == 1, "{end}: {error}");
        };
        refused("ally", labels(2, &[1, 0, 0, 1]), "beside it allx has 3 nodes, ally 2");
        refused("ty", labels(1, &[1, 0]), "beside it tx has 2 nodes, ty 1");
        refused("tx", csr(4, &[1, 2]), "beside it allx has 3 features, tx 4");
        refused("tx", csr(3, &[1, 3]), "ind.small.tx: ");
        refused("test.index", b"5\n".to_vec(), "beside it tx has 2 nodes, test.index 1");
        refused("test.index", b"5\n5\n".to_vec(), "test.index:2: node 5 is given twice");
        refused("test.index", b"5\n2\n".to_vec(), "test.index:2: node 2 is none between");
        refused("test.index", b"5\n6\n".to_vec(), "test.index:2: node 6 is none between");
        refused("graph", b"\x80\x02}(K\x00]K\x09au.".to_vec(), "ind.small.graph: names node 9");
        refused("graph", b"\x80\x02}(K\x00]K\x00]u.".to_vec(), "lists the neighbours of node 0 twice");
        let ring = b"](K\x00K\x01K\x02K\x03K\x04K\x05K\x00K\x01K\x02eq\x09";
        let shared: Vec<u8> = (1..6_u8).flat_map(|i| [b'K', i, b'h', 9]).collect();
        let shared = [b"\x80\x02}(K\x00", &ring[..], &shared, b"u."].concat();
        refused("graph", shared, "lists 54 neighbours in 51 bytes: its nodes share lists");
        refused("allx", labels(1, &[1, 0]), "ind.small.allx: holds ");
        refused("ally", csr(3, &[0, 1, 2]), "ind.small.ally: holds something else where an array");
        refused("ally", b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(), "where an array of NumPy is wanted");
        refused("y", b"\x80\x05\x96".to_vec(), "instruction 0x96");
        let mut few = small();
        few[0].1 = b"\x80\x02}(K\x00](K\x00eu.".to_vec();
        few.iter_mut().filter(|f| ["tx", "ty"].contains(&f.0)).for_each(|f| match f.0 {
            "tx" => f.1 = csr(3, &[]),
            _ => f.1 = labels(0, &[]),
        });
        few[6].1.clear();
        assert!(read(&few).err().unwrap().contains("has 1 nodes, allx 3"));
    }

    /// No damage makes it panic, and none that cuts it short goes unnoticed.
    #[test]
    fn damaged_pickles_are_errors_or_other_data() {
        let files = small();
        for (end, bytes) in files.iter().filter(|f| f.0 != "test.index") {
            for n in 0..bytes.len() {
                assert!(Pickle::parse(&bytes[..n]).is_err(), "{end} cut at {n}");
                for other in [0, b'.', b'(', b'b', b'u', b'e', b't', 0x87, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[n] = other;
                    let Ok(pickle) = Pickle::parse(&damaged) else { continue };
                    let file = File { path: PathBuf::new(), pickle, length: damaged.len() };
                    let _ = (file.edges(), file.features(), file.classes());
                }
            }
        }
    }
}
