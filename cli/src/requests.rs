//! The rows of a benchmark's requests, into a file or onto stdout.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use records::{Layout, RecordsError, Tail, TextFormat};
use shared::BenchmarkId;

use crate::{
    failure::Failure,
    server::{Server, ServerArgs, benchmark_id},
};

/// `llm-bench requests`
#[derive(Debug, Args)]
pub(crate) struct RequestsArgs {
    /// The benchmark's number
    #[arg(value_parser = benchmark_id)]
    id: BenchmarkId,
    /// As what [default: what FILE ends in; csv to stdout]
    #[arg(long)]
    format: Option<Format>,
    /// Where to [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What rows can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Jsonl,
}

impl Format {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// What `file` is by its ending.
    fn of(file: &Path) -> Result<Self, Failure> {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let known = Self::value_variants().iter().find(|format| format.word() == ending);
        known.copied().ok_or_else(|| {
            let file = file.display();
            Failure::Usage(format!("{file} must end in .parquet, .csv or .jsonl"))
        })
    }
}

impl RequestsArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let server = Server::new(&self.server)?;
        let Some(out) = self.out else {
            let format = self.format.unwrap_or(Format::Csv);
            server.download(self.id, format, &mut io::stdout().lock()).await?;
            return Ok(ExitCode::SUCCESS);
        };
        let format = self.format.map_or_else(|| Format::of(&out), Ok)?;
        let mut output = Output::to(&out, format)?;
        server.download(self.id, format, &mut output.file).await?;
        output.keep()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A file that is there under its name only when it is whole.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Output {
    /// A file at `path` of the format that its name says.
    pub(crate) fn named(path: &Path) -> Result<Self, Failure> {
        Self::to(path, Format::of(path)?)
    }

    fn to(path: &Path, format: Format) -> Result<Self, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { format, file, path: path.to_owned() })
    }

    /// Another handle on the file, for whoever writes Parquet into it.
    pub(crate) fn handle(&self) -> Result<File, Failure> {
        let path = self.path.display();
        let handle = self.file.as_file().try_clone();
        Ok(handle.with_context(|| format!("cannot write {path}"))?)
    }

    /// Makes of the Parquet in it what its name says, and gives it the name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let format = match self.format {
            Format::Parquet => return self.keep(),
            Format::Csv => TextFormat::Csv,
            Format::Jsonl => TextFormat::Jsonl,
        };
        let mut text = Self::to(&self.path, self.format)?;
        convert(self.file.as_file_mut(), format, &mut text.file)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        text.keep()
    }

    /// Gives the file its name.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let named = self.file.persist(&self.path).map_err(|failed| failed.error);
        named.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}

/// The rows of `file` as text, a row group at a time.
fn convert(file: &mut File, format: TextFormat, to: &mut impl Write) -> anyhow::Result<()> {
    let length = file.metadata()?.len();
    let mut piece = |from: u64, to: u64| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut bytes)?;
        Ok::<_, io::Error>(Bytes::from(bytes))
    };
    let mut wanted = Layout::TAIL_BYTES.min(length);
    let layout = loop {
        match Layout::read(&piece(length - wanted, length)?, length)? {
            Tail::Whole(layout) => break layout,
            Tail::Needs(bytes) if bytes > wanted && bytes <= length => wanted = bytes,
            Tail::Needs(_) => return Err(RecordsError::Malformed.into()),
        }
    };
    to.write_all(&format.head(&layout)?)?;
    for group in 0..layout.groups() {
        let range = layout.range(group)?;
        to.write_all(&format.rows(&layout, group, piece(range.start, range.end)?)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_it_is() {
        assert_eq!(Format::of(Path::new("a/b.csv")).unwrap(), Format::Csv);
        assert_eq!(Format::of(Path::new("b.parquet")).unwrap(), Format::Parquet);
        for name in ["b", "b.json", "csv"] {
            let refused = Format::of(Path::new(name)).unwrap_err().to_string();
            assert_eq!(refused, format!("{name} must end in .parquet, .csv or .jsonl"));
        }
    }
}
