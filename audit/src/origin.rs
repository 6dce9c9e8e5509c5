//! What a component says of where it comes from. Anybody can write anything there: it is a claim, and no verdict rests on
//! it.

use quipu_format::limits::DEPENDENCY_BYTES;
use serde::{Deserialize, Serialize};
use wasmparser::ProducersSectionReader;

/// A language, tool or SDK that is said to have made it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[non_exhaustive]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Which.
    pub name: String,
    /// Its version; often empty.
    pub version: String,
}

/// A library that is said to be in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dependency {
    /// Which.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What a section `producers` says. What cannot be read says nothing.
pub(crate) fn producers(section: ProducersSectionReader<'_>) -> Vec<Producer> {
    let mut producers = Vec::new();
    for field in section.into_iter().flatten() {
        for value in field.values.into_iter().flatten() {
            producers.push(Producer {
                field: field.name.to_owned(),
                name: value.name.to_owned(),
                version: value.version.to_owned(),
            });
        }
    }
    producers
}

/// What a section `.dep-v0` says, which `cargo auditable` writes: JSON, packed by zlib. What cannot be read says nothing.
pub(crate) fn dependencies(section: &[u8]) -> Vec<Dependency> {
    #[derive(Deserialize)]
    struct List {
        packages: Vec<Dependency>,
    }
    let json = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(section, DEPENDENCY_BYTES);
    let list = json.ok().and_then(|json| serde_json::from_slice::<List>(&json).ok());
    list.map(|list| list.packages).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_dependencies_is_read_and_one_that_is_none_says_nothing() {
        let json = br#"{"packages":[{"name":"adler2","version":"2.0.1","source":"crates.io"}]}"#;
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(json, 6);
        let read = dependencies(&packed);
        assert_eq!((&*read[0].name, &*read[0].version), ("adler2", "2.0.1"));
        assert!(dependencies(b"no zlib").is_empty());
        assert!(dependencies(&packed[..packed.len() - 5]).is_empty());
    }

    #[test]
    fn a_list_past_the_limit_is_not_unpacked() {
        let mut json = br#"{"packages":[]}"#.to_vec();
        json.resize(DEPENDENCY_BYTES, b' ');
        let whole = |json: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(json, 6);
        let unpack = |packed: &[u8]| miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(packed, DEPENDENCY_BYTES);
        assert!(unpack(&whole(&json)).is_ok());
        json.push(b' ');
        assert!(unpack(&whole(&json)).is_err());
    }
}
