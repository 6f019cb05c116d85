//! The formats that are imported, and how an npz of ours is made of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use engine::checkpoint::write_atomic;
use models::gnn::Dataset;
use models::gnn::data::check::check;

use super::csv::Csv;
use super::graphml::{Choice, graphml};
use super::reading::Reading;
use super::{decode, decode_bytes, encode, import, ogb, planetoid, summary};
use crate::run::error::CliError;

/// A format with the files that are read and the one that is written.
#[derive(Subcommand)]
pub enum Format {
    /// A folder with out1_node_feature_label.txt and out1_graph_edges.txt.
    GeomGcn {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Files with train_mask, val_mask, test_mask, one for each split.
        #[arg(long, num_args = 1.., value_name = "FILES")]
        splits: Vec<PathBuf>,
        /// The number of features, where lines list the indices of features that are set (film: 932).
        #[arg(long, value_name = "N")]
        listed: Option<usize>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// NAME.content and NAME.cites.
    Linqs {
        /// The content file.
        #[arg(long, value_name = "FILE")]
        content: PathBuf,
        /// The cites file.
        #[arg(long, value_name = "FILE")]
        cites: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Planetoid's pickles, ind.NAME.allx and so on.
    Planetoid {
        /// Their folder.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The NAME in their names.
        #[arg(long)]
        name: String,
        /// Files with train_mask, val_mask, test_mask, one for each split.
        #[arg(long, num_args = 1.., value_name = "FILES")]
        splits: Vec<PathBuf>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The archives of Platonov et al.: node_features, node_labels, edges, train_masks.
    Heterophilous {
        /// The npz to read.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The same set's npz with directed edges, where there is one.
        #[arg(long, value_name = "FILE")]
        directed: Option<PathBuf>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// An npz as `graph` reads it, but with edges in any order, in one direction or both.
    Npz {
        /// The npz to read.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The CSR archives of Shchur et al.
    Shchur {
        /// The npz to read.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A folder of the Open Graph Benchmark with raw/ and split/.
    Ogb {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The name of the split, where there are several.
        #[arg(long, value_name = "NAME")]
        split: Option<String>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A GraphML file, as NetworkX, Gephi and igraph write them.
    Graphml {
        /// The file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The attribute of nodes that is the class (default: label, class, y or subject); none where no node has a label.
        #[arg(long, value_name = "NAME")]
        label: Option<String>,
        /// The attribute of nodes that is the part of a split (default: split or part); none for no such attribute.
        #[arg(long, value_name = "NAME")]
        split: Option<String>,
        /// The attributes that are features (default: all that are numbers); or none, degree, identity.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        features: Vec<String>,
        /// What stands for no label, beside an empty value, nan, NA and -1.
        #[arg(long, value_name = "VALUE")]
        unlabelled: Vec<String>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Edges, features and labels of your own, as text; edges as a Matrix Market file too.
    #[command(after_help = RULES)]
    Csv(Csv),
}

/// How csv files are read, in short.
const RULES: &str = "\
Rules, in full in docs/data.md:
  separator  of tab, semicolon and comma the first that stands in every line outside quotes, else blanks
  header     the first line, where it has a known name (source, target, weight; id, node; label, class, y, subject;
             split, part), words above numbers, or no name above an index; counted names (0,1,2,...) where the number of
             nodes in the other file says so
  columns    by these names; without header two columns are source and target, or id and class
  nodes      by id where a file has one (whole numbers or names, in any order and with gaps), else by line from 0
  weights    of one direction are added up, of both directions averaged; an edge of weight 0 is left out";

/// What an import gives.
pub struct Imported {
    /// The npz that was written.
    pub path: PathBuf,
    /// What it holds.
    pub data: Dataset,
    /// (what, how it was understood or what there is), for a table.
    pub summary: Vec<(String, String)>,
    /// What may not be meant, or to know.
    pub notes: Vec<String>,
}

impl Format {
    /// Reads, checks, and writes the npz.
    pub fn import(&self) -> Result<Imported, CliError> {
        let (inputs, out) = (self.inputs(), self.out());
        let real = |path: &Path| path.canonicalize().ok();
        if real(out).is_some_and(|out| inputs.iter().any(|input| real(input).as_ref() == Some(&out))) {
            return Err(CliError::usage(format!("--out {}: is one of the files to import", out.display())));
        }
        check_replaceable(out)?;
        let name = out.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let (source, reading) = (&inputs[0], self.read(&name)?);
        let found = check(&reading.data);
        if let Some(finding) = found.iter().find(|f| f.fatal) {
            return Err(CliError::usage(format!("{}: {}", source.display(), finding.what)));
        }
        let bytes = encode(&reading.data)?;
        // What is written can be read: better to learn it before there is a file.
        decode_bytes(source, bytes.clone())?;
        write_atomic(out, &bytes).map_err(|e| CliError::io(out, &e))?;
        let Reading { data, mut facts, mut notes } = reading;
        facts.extend(summary::facts(&data));
        notes.extend(found.into_iter().map(|finding| finding.what));
        notes.extend(summary::notes(&data, out));
        Ok(Imported { path: out.clone(), data, summary: facts, notes })
    }

    fn read(&self, name: &str) -> Result<Reading, CliError> {
        match self {
            Self::GeomGcn { from, splits, listed, .. } => {
                import::with_splits(import::geom_gcn(from, name, *listed)?, splits)
            }
            Self::Linqs { content, cites, .. } => import::linqs(content, cites, name),
            Self::Planetoid { from, name: set, splits, .. } => {
                import::with_splits(planetoid::planetoid(from, set, name)?, splits)
            }
            Self::Heterophilous { from, directed, .. } => {
                import::heterophilous(from, directed.as_deref(), name)
            }
            Self::Npz { from, .. } => import::npz(from, name),
            Self::Shchur { from, .. } => import::shchur(from, name),
            Self::Graphml { from, label, split, features, unlabelled, .. } => {
                let choice =
                    Choice { label: label.as_deref(), split: split.as_deref(), features, unlabelled };
                graphml(from, &choice, name)
            }
            Self::Ogb { from, split, .. } => ogb::ogb(from, split.as_deref(), name),
            Self::Csv(csv) => csv.read(name),
        }
    }

    /// The files that are read; the first stands for all in messages.
    fn inputs(&self) -> Vec<PathBuf> {
        match self {
            Self::GeomGcn { from, splits, .. } => [&import::geom_gcn_files(from)[..], splits].concat(),
            Self::Linqs { content, cites, .. } => vec![content.clone(), cites.clone()],
            Self::Planetoid { from, name, splits, .. } => {
                [planetoid::files(from, name), splits.clone()].concat()
            }
            Self::Heterophilous { from, directed, .. } => {
                [from].into_iter().chain(directed).cloned().collect()
            }
            Self::Npz { from, .. } | Self::Shchur { from, .. } | Self::Graphml { from, .. } => {
                vec![from.clone()]
            }
            Self::Ogb { from, .. } => ogb::files(from),
            Self::Csv(csv) => csv.inputs(),
        }
    }

    fn out(&self) -> &PathBuf {
        match self {
            Self::GeomGcn { out, .. }
            | Self::Linqs { out, .. }
            | Self::Planetoid { out, .. }
            | Self::Heterophilous { out, .. }
            | Self::Npz { out, .. }
            | Self::Shchur { out, .. }
            | Self::Ogb { out, .. }
            | Self::Graphml { out, .. } => out,
            Self::Csv(csv) => &csv.out,
        }
    }
}

/// An error unless a data set may be written there: where nothing is, or a data set in our own layout. What may be
/// the user's own is not replaced, and nothing is written through a link.
fn check_replaceable(out: &Path) -> Result<(), CliError> {
    let refused = |what: &str| Err(CliError::usage(format!("{}: {what}", out.display())));
    if out.extension().is_none_or(|end| end != "npz") {
        return refused("a data set is written to a file whose name ends in .npz");
    }
    match out.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(CliError::io(out, &e)),
        Ok(there) if there.is_symlink() => {
            refused("is a link, through which nothing is written; name a file")
        }
        Ok(there) if there.is_dir() => refused("a folder is in the way; choose another name"),
        Ok(there) if !there.is_file() => {
            refused("is no regular file and stays as it is; choose another name")
        }
        Ok(_) if decode(out).is_ok() => Ok(()),
        Ok(_) => refused("holds no data set of this program, and stays; choose another name, or remove it"),
    }
}
