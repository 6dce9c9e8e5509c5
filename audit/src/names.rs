//! Names of interfaces: which are ours.

/// Interfaces of `quipu:memory` that an agent may import, and no others.
pub(crate) const INTERFACES: [&str; 4] = ["types", "read", "recall", "append"];

/// The interface of `quipu:memory` 0.1 that the name means and an agent may import; none if it means something else.
pub fn memory_interface(name: &str) -> Option<&'static str> {
    let named = interface(name)?;
    INTERFACES.into_iter().find(|ours| *ours == named)
}

/// What a name calls an interface of `quipu:memory` 0.1, whether there is one of that name or not.
pub fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("quipu:memory/")?.split_once('@')?;
    let patch = version.strip_prefix("0.1.")?;
    let is_number = !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_four_interfaces_in_our_version_are_ours() {
        assert_eq!(memory_interface("quipu:memory/append@0.1.0"), Some("append"));
        assert_eq!(memory_interface("quipu:memory/read@0.1.12"), Some("read"));
        for foreign in [
            "quipu:memory/admin@0.1.0",
            "quipu:memory/append",
            "quipu:memory/append@0.2.0",
            "quipu:memory/append@0.1.",
            "quipu:memory/append@0.1.0-rc.1",
            "quipu:memory/append@0.1.0/evil",
            "quipu:memory/appendix@0.1.0",
            "quipu:memorу/append@0.1.0", // a Cyrillic letter
            "evil:memory/append@0.1.0",
            "wasi:clocks/wall-clock@0.2.0",
        ] {
            assert_eq!(memory_interface(foreign), None, "{foreign}");
        }
    }
}
