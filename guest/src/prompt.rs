/// What to tell a model that thinks for an agent: what its memory can and cannot do, and how to use it. For the system prompt;
/// docs/PLUGINS.md shows it whole.
pub const PROMPT: &str = include_str!("prompt.txt");
