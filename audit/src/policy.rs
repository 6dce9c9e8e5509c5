//! What somebody allows, narrower than what quipu's worlds do.

use std::collections::BTreeSet;

use quipu_format::Hash;
use serde::Deserialize;

use crate::{
    Audit, Error, Result,
    finding::{Finding, Rule},
    names::{INTERFACES, memory_interface},
};

/// A policy: what is not named is not restricted by it. It is a TOML file:
///
/// ```toml
/// # Interfaces of quipu:memory that may be imported.
/// interfaces = ["types", "read", "recall"]
/// # Worlds, of which it must fit one.
/// worlds = ["observer"]
/// # Components that are approved, by SHA-256 in hexadecimal or base64url.
/// digests = ["9f2c…"]
/// # Bytes of a component, at most.
/// max_bytes = 4_000_000
/// # Notes that count as violations.
/// deny = ["start-function", "unexpected-export"]
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    interfaces: Option<BTreeSet<String>>,
    worlds: Option<BTreeSet<String>>,
    digests: Option<BTreeSet<String>>,
    max_bytes: Option<u64>,
    #[serde(default)]
    deny: BTreeSet<String>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// Where it is no TOML, has a member that no policy has, or names what does not exist: what was meant would not hold.
    pub fn parse(text: &str) -> Result<Self> {
        let mut policy: Self =
            toml::from_str(text).map_err(|e| Error::new(format!("the policy cannot be read: {e}")))?;
        check("interface", policy.interfaces.iter().flatten(), &INTERFACES)?;
        check(
            "world",
            policy.worlds.iter().flatten(),
            &crate::World::ALL.map(crate::World::name),
        )?;
        check("rule", policy.deny.iter(), &Rule::ALL.map(Rule::id))?;
        if let Some(digests) = &mut policy.digests {
            *digests = digests.iter().map(|text| digest(text)).collect::<Result<_>>()?;
        }
        Ok(policy)
    }

    /// What of a component it does not allow.
    pub fn breaches(&self, audit: &Audit) -> Vec<Finding> {
        let mut breaches = Vec::new();
        let mut breach = |subject: &str, message: String| breaches.push(Finding::new(Rule::Policy, subject, message));
        if let Some(allowed) = &self.interfaces {
            for port in audit.anatomy.calls() {
                // What is none of quipu's violates without a policy.
                if let Some(name) = memory_interface(&port.name)
                    && !allowed.contains(name)
                {
                    breach(&port.name, format!("the policy does not allow importing {}", port.name));
                }
            }
        }
        if let Some(allowed) = &self.worlds
            && !audit.worlds.iter().any(|world| allowed.contains(world.name()))
        {
            let fits: Vec<_> = audit.worlds.iter().map(|world| world.name()).collect();
            let fits = if fits.is_empty() {
                "none".into()
            } else {
                fits.join(", ")
            };
            let message = format!("the policy wants another world; the component fits: {fits}");
            breach("", message);
        }
        if let Some(approved) = &self.digests {
            // Of the file, as tools print it, or of the component that is run, as a ledger says it.
            let digests = [audit.file_sha256, audit.anatomy.sha256];
            if !digests.iter().any(|digest| approved.contains(&digest.to_hex())) {
                breach(
                    "",
                    format!("the policy does not list its digest, {}", audit.file_sha256.to_hex()),
                );
            }
        }
        if let Some(most) = self.max_bytes
            && audit.anatomy.bytes > most
        {
            let message = format!(
                "the policy allows {most} bytes, and the component has {}",
                audit.anatomy.bytes
            );
            breach("", message);
        }
        for finding in &audit.findings {
            if self.deny.contains(finding.rule.id()) {
                breach(
                    &finding.subject,
                    format!("the policy denies {}: {}", finding.rule.id(), finding.message),
                );
            }
        }
        breaches
    }
}

/// A digest in hexadecimal, as `sha256sum` prints it, from that or from base64url.
fn digest(text: &str) -> Result<String> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (is_hex, text.parse::<Hash>()) {
        (true, _) => Ok(text.to_ascii_lowercase()),
        (false, Ok(hash)) => Ok(hash.to_hex()),
        (false, Err(_)) => Err(Error::new(format!(
            "the policy names the digest {text:?}, which is no SHA-256 in hexadecimal or base64url"
        ))),
    }
}

fn check<'a>(what: &str, named: impl Iterator<Item = &'a String>, known: &[&str]) -> Result<()> {
    for name in named {
        if !known.contains(&name.as_str()) {
            let message = format!(
                "the policy names the {what} {name:?}, which there is not: {}",
                known.join(", ")
            );
            return Err(Error::new(message));
        }
    }
    Ok(())
}
