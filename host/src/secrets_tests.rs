use quipu_format::{Actor, Scope};
use quipu_log::CreateOptions;

use super::*;
