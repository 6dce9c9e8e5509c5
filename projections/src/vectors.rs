//! Word vectors that the operator puts beside the ledger, and what texts mean by them.
//!
//! The file has a line for each word: the word, and as many numbers as all lines have, parted by blanks. A first line of two
//! whole numbers, as word2vec writes it, is passed over. Words come by falling frequency, as such files have them: how common
//! a word is, and so how little it says, is told by its line (the weights of Arora et al., 2017, under Zipf's law). What is
//! computed from there on are whole numbers, the same on each machine.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use quipu_format::Hash;
use sha2::{Digest, Sha256};

use crate::{
    error::{Cause, Result},
    limits,
    text::{beginning, words},
};

/// Name of the file in the ledger's folder.
pub(crate) const FILE: &str = "vectors.txt";

/// What a word's direction is multiplied with, at most.
const ONE: f64 = (1 << 20) as f64;
/// How seldom a word is that says half as much as one that is never said.
const SELDOM: f64 = 1e-3;
/// The sum of one over each rank of some hundred thousand words, about.
const RANKS: f64 = 12.0;

/// The words of a table.
pub(crate) struct Vectors {
    /// Of the whole file.
    pub(crate) sha256: Hash,
    dimensions: usize,
    /// Where each word is.
    words: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// Of each word as many as there are dimensions.
    numbers: Vec<i8>,
    /// What these are multiplied with, so that all are as long as the words say something.
    factors: Vec<u32>,
}

impl Vectors {
    /// The table of the ledger in a folder. `None`: it has none, or this build does without.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>> {
        if !cfg!(feature = "dense") {
            return Ok(None);
        }
        let path = folder.join(FILE);
        let io = |error| Cause::Io("read vectors.txt in the ledger's folder", error);
        let bytes = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(wrong("it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        if bytes > limits::VECTOR_FILE_BYTES {
            let most = limits::VECTOR_FILE_BYTES;
            return Err(wrong(&format!(
                "it has {bytes} bytes; at most {most} fit. Keep its first lines"
            )));
        }
        let file = File::open(path).map_err(io)?;
        Self::read(BufReader::with_capacity(1 << 18, file), limits::VECTOR_BYTES).map(Some)
    }

    /// Reads a table, of which words are kept until their numbers take so many bytes.
    pub(crate) fn read(mut from: impl BufRead, most: usize) -> Result<Self> {
        let io = |error| Cause::Io("read vectors.txt in the ledger's folder", error);
        let (mut sha, mut line) = (Sha256::new(), Vec::new());
        let mut this = Self {
            sha256: Hash::of_nothing(),
            dimensions: 0,
            words: HashMap::default(),
            numbers: Vec::new(),
            factors: Vec::new(),
        };
        let mut full = false;
        for number in 1_u64.. {
            line.clear();
            let longest = limits::VECTOR_LINE_BYTES as u64;
            let read = io::Read::take(&mut from, longest + 1).read_until(b'\n', &mut line);
            if read.map_err(io)? == 0 {
                break;
            }
            sha.update(&line);
            if line.len() as u64 > longest {
                return Err(wrong(&format!("line {number} is longer than {longest} bytes")));
            }
            if !full {
                let taken = str::from_utf8(&line).map_err(|error| error.to_string());
                // Words may be blanks of other kinds.
                let taken = taken.map(|line| line.trim_end_matches([' ', '\t', '\r', '\n']));
                let taken = taken.and_then(|line| match line.is_empty() {
                    true => Ok(()),
                    false => this.take(line, number == 1),
                });
                taken.map_err(|what| wrong(&format!("line {number}: {what}")))?;
                full = this.words.len() >= limits::VECTOR_WORDS || this.numbers.len() + this.dimensions > most;
            }
        }
        if this.words.is_empty() {
            return Err(wrong("it has no words"));
        }
        this.sha256 = Hash(sha.finalize().into());
        Ok(this)
    }

    /// Takes a line.
    fn take(&mut self, line: &str, first: bool) -> std::result::Result<(), String> {
        let mut fields: Vec<_> = line.split([' ', '\t']).collect();
        if first && fields.len() == 2 && fields.iter().all(|field| field.parse::<u64>().is_ok()) {
            return Ok(());
        }
        if self.dimensions == 0 {
            self.dimensions = fields.len() - 1;
            if !(1..=limits::VECTOR_DIMENSIONS).contains(&self.dimensions) {
                let most = limits::VECTOR_DIMENSIONS;
                return Err(format!("a word and 1 to {most} numbers are wanted"));
            }
        }
        // Some tables have words with blanks in them.
        let Some(start) = fields.len().checked_sub(self.dimensions).filter(|start| *start > 0) else {
            return Err(format!("a word and {} numbers are wanted", self.dimensions));
        };
        let numbers = fields
            .split_off(start)
            .into_iter()
            .map(|field| match field.parse::<f32>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(format!("{:?} is no number", beginning(field, 40))),
            });
        let numbers = numbers.collect::<std::result::Result<Vec<_>, _>>()?;
        let word = fields.join(" ").to_lowercase();
        // Of words that differ by case alone the commonest counts.
        if self.words.contains_key(word.as_str()) {
            return Ok(());
        }
        let longest = numbers
            .iter()
            .fold(0.0_f32, |longest, number| longest.max(number.abs()));
        let at = self.factors.len();
        let start = self.numbers.len();
        self.numbers.extend(numbers.iter().map(|number| match longest > 0.0 {
            true => (number / longest * 127.0).round() as i8,
            false => 0,
        }));
        let squares: i64 = self.numbers.iter().skip(start).map(|n| i64::from(*n).pow(2)).sum();
        let seldom = SELDOM / (SELDOM + 1.0 / (RANKS * (at as f64 + 2.7)));
        self.factors
            .push((ONE * seldom / (squares.max(1) as f64).sqrt()).round() as u32);
        self.words.insert(word.into(), at as u32);
        Ok(())
    }

    /// What a text means. `None`: it has no word of the table.
    pub(crate) fn of(&self, text: &str) -> Option<Meaning> {
        let mut mean = Mean::default();
        words(text).for_each(|word| mean.add(self, &word));
        mean.meaning()
    }
}

fn wrong(what: &str) -> Cause {
    Cause::Invalid(format!("vectors.txt in the ledger's folder is not good: {what}"))
}

impl fmt::Debug for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words of {} numbers", self.words.len(), self.dimensions)
    }
}

/// What the words of a text mean together, while they are added up.
#[derive(Debug, Default)]
pub(crate) struct Mean(Vec<i64>);

impl Mean {
    /// Adds a word, if it is in the table.
    pub(crate) fn add(&mut self, vectors: &Vectors, word: &str) {
        let Some(&at) = vectors.words.get(word) else { return };
        let (at, dimensions) = (at as usize, vectors.dimensions);
        self.0.resize(dimensions, 0);
        let numbers = vectors.numbers.iter().skip(at * dimensions);
        let factor = vectors.factors.get(at).copied().map_or(0, i64::from);
        for (sum, number) in self.0.iter_mut().zip(numbers) {
            *sum += factor * i64::from(*number);
        }
    }

    /// `None` where nothing was added, or it comes to nothing.
    pub(crate) fn meaning(&self) -> Option<Meaning> {
        let longest = self
            .0
            .iter()
            .map(|sum| sum.abs())
            .max()
            .filter(|longest| *longest > 0)?;
        // To the nearest; halves go to the greater.
        let rounded = |sum: &i64| (sum * 254 + longest).div_euclid(2 * longest) as i8;
        let numbers: Box<[i8]> = self.0.iter().map(rounded).collect();
        let squares = numbers.iter().map(|number| i32::from(*number).pow(2)).sum();
        Some(Meaning { numbers, squares })
    }
}

/// A direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    numbers: Box<[i8]>,
    /// The sum of their squares.
    squares: i32,
}

impl Meaning {
    /// As a blob has it.
    pub(crate) fn bytes(&self) -> impl ExactSizeIterator<Item = u8> {
        self.numbers.iter().map(|number| number.cast_unsigned())
    }

    /// How alike they mean, 0 to 1: the cosine, as far as it is more than any two texts have. 0 also where the blob is all
    /// zeros.
    pub(crate) fn likeness(&self, other: &[u8]) -> f64 {
        let (mut dot, mut others) = (0_i32, 0_i32);
        for (a, b) in self.numbers.iter().zip(other) {
            let (a, b) = (i32::from(*a), i32::from(b.cast_signed()));
            dot += a * b;
            others += b * b;
        }
        if dot <= 0 {
            return 0.0;
        }
        let cosine = f64::from(dot) / (f64::from(self.squares) * f64::from(others)).sqrt();
        ((cosine - UNLIKE) / (1.0 - UNLIKE)).clamp(0.0, 1.0)
    }
}

/// The cosine that texts have that have nothing to do with each other.
const UNLIKE: f64 = 0.4;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vectors> {
        Vectors::read(text.as_bytes(), limits::VECTOR_BYTES)
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn texts_of_other_words_are_as_alike_as_these_mean_the_same() {
        let table = "the 1 1 1\ncar 0 1 0\nautomobile 0.1 1 0\nPhysician 0 0 1\nphysician 9 9 9\nnew york 1 0 0\n";
        for text in [table.to_owned(), format!("6 3\n{table}")] {
            let vectors = read(&text).unwrap();
            assert_eq!((vectors.words.len(), vectors.dimensions), (5, 3));
            let alike = |a: &str, b: &str| {
                let other: Vec<_> = vectors.of(b).unwrap().bytes().collect();
                vectors.of(a).unwrap().likeness(&other)
            };
            assert_eq!(alike("car", "car"), 1.0);
            assert!(alike("The car", "Automobile!") > 0.9);
            assert_eq!(alike("car", "physician"), 0.0);
            assert!(alike("car", "the car, the physician") > alike("car", "the physician"));
            assert_eq!(vectors.of("what no table says"), None);
            assert_eq!(vectors.of("car").unwrap().likeness(&[0, 0, 0]), 0.0);
            assert_eq!(vectors.sha256, Hash::of(&[text.as_bytes()]));
        }
        assert_eq!(read("a 0 0\n").unwrap().of("a"), None);
    }

    #[test]
    fn common_words_say_less() {
        let vectors = read("the 1 0\ncar 0 1\n").unwrap();
        assert!(vectors.factors.is_sorted() && vectors.factors[0] < vectors.factors[1]);
        let words: String = (0..2_000).map(|n| format!("w{n} 1\n")).collect();
        let vectors = read(&words).unwrap();
        assert!(vectors.factors[0] * 20 < vectors.factors[1_999]);
    }

    #[test]
    fn what_is_no_table_is_refused_by_line() {
        assert!(refusal("").contains("no words") && refusal("3 2\n").contains("no words"));
        assert!(refusal("a 1 2\nb 1\n").contains("line 2: a word and 2 numbers"));
        assert!(refusal("a 1 2\nb 1 x\n").contains("line 2: \"x\" is no number"));
        assert!(refusal("a 1 inf\n").contains("line 1"));
        assert!(refusal("word\n").contains("line 1: a word and 1 to"));
        let wide = format!("a{}\n", " 1".repeat(limits::VECTOR_DIMENSIONS + 1));
        assert!(refusal(&wide).contains("1 to 1024 numbers"));
        assert!(read(&format!("a{}\n", " 1".repeat(limits::VECTOR_DIMENSIONS))).is_ok());
        let long = format!("a 1\n{} 1\n", "b".repeat(limits::VECTOR_LINE_BYTES));
        assert!(refusal(&long).contains("line 2 is longer than"));
        let bytes = Vectors::read(&b"a 1\n\xFF 1\n"[..], 99).unwrap_err().to_string();
        assert!(bytes.contains("line 2"), "{bytes}");
    }

    #[test]
    fn words_that_memory_is_too_small_for_do_not_count() {
        let text = "a 1 2 3\nb 1 2 3\nc 1 2 3\n";
        let vectors = Vectors::read(text.as_bytes(), 8).unwrap();
        assert_eq!((vectors.words.len(), vectors.numbers.len()), (2, 6));
        assert_eq!(vectors.sha256, Hash::of(&[text.as_bytes()]), "it is the whole file's");
        let many: String = (0..=limits::VECTOR_WORDS).map(|n| format!("w{n} 1\n")).collect();
        assert_eq!(read(&many).unwrap().words.len(), limits::VECTOR_WORDS);
    }

    #[test]
    #[cfg(feature = "dense")]
    fn a_file_that_is_too_large_or_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Vectors::load(folder.path()).unwrap().is_none());
        let file = File::create(folder.path().join(FILE)).unwrap();
        file.set_len(limits::VECTOR_FILE_BYTES + 1).unwrap();
        let refused = Vectors::load(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("at most 2147483648 fit"), "{refused}");
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        std::fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(
            Vectors::load(folder.path())
                .unwrap_err()
                .to_string()
                .contains("no file")
        );
    }

    #[test]
    #[cfg(not(feature = "dense"))]
    fn a_build_without_looks_at_no_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "no table").unwrap();
        assert!(Vectors::load(folder.path()).unwrap().is_none());
    }
}
