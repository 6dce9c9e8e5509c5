//! What builds leave behind in the folders of the example agents. For xtask, which copies these folders, and for a test.

/// Folders of these names, and all below them.
pub(crate) const LEFT_BEHIND: [&str; 4] = ["target", "node_modules", ".venv", "__pycache__"];

/// Whether a build leaves a folder or a file of that name.
pub(crate) fn is_left_behind(name: &str) -> bool {
    LEFT_BEHIND.contains(&name) || name.ends_with(".wasm")
}
