//! The disk in an OVA archive, and what its OVF file says of it (upstream: `OVAImageExtractor` in
//! `glance/async_/flows/ovf_process.py`).

mod content;
mod members;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use tracing::warn;

use crate::task::import::PluginError;
pub(super) use content::Archived;
use content::Content;
use members::{Kind, Members, WalkError};

/// The file, beside the configuration, that names the properties of interest.
pub(super) const METADATA: &str = "ovf-metadata.json";

/// Bytes of an OVF file; it describes one machine.
const OVF_SIZE: u64 = 512 << 10;

/// Elements and texts of an OVF file, and declarations of namespaces: the work of reading grows faster than these.
const NODES: u32 = 10_000;
const NAMESPACES: usize = 100;

/// Namespaces whose elements become properties, with what their names begin with.
const CIM: (&str, &str) =
    ("http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ProcessorAllocationSettingData", "cim_pasd");

/// What an OVF file says.
#[derive(Debug, PartialEq, Eq)]
struct Description {
    /// The member that is the disk.
    disk: String,
    properties: Vec<(String, String)>,
}

/// Writes the single disk of an archive to `disk`, up to `most` bytes, and gives the properties of interest.
///
/// # Errors
/// It is no such archive, or has no disk or several.
pub(super) fn extract(
    archive: &Archived<'_>,
    disk: &Path,
    interesting: &[String],
    most: u64,
) -> Result<Vec<(String, String)>, PluginError> {
    let mut text = String::new();
    let is_description = |name: &str| name.ends_with(".ovf");
    let found =
        with_member(archive, is_description, &mut |member| member.take(OVF_SIZE).read_to_string(&mut text).map(drop))?;
    if !found {
        return Err(refused("Could not find OVF file in OVA archive file."));
    }
    let description = describe(&text, interesting)?;
    let mut is_cut = false;
    let found = with_member(archive, |name| name == description.disk, &mut |member| {
        let mut target = File::create_new(disk)?;
        is_cut = io::copy(&mut member.take(most.saturating_add(1)), &mut target)? > most;
        Ok(())
    })?;
    if !found {
        return Err(refused("The disk that the OVF file names is not in the OVA archive file."));
    }
    if is_cut {
        return Err(refused("The disk in the OVA archive file is larger than image_size_cap"));
    }
    Ok(description.properties)
}

/// Shows the first file of an archive whose name is wanted to `look`. False: there is none.
fn with_member(
    archive: &Archived<'_>,
    is_wanted: impl Fn(&str) -> bool,
    look: &mut dyn FnMut(&mut Members<Content<'_>>) -> io::Result<()>,
) -> Result<bool, PluginError> {
    let failed = || PluginError::io("reading the OVA archive");
    let mut members = Members::new(archive.open().map_err(failed())?);
    while let Some(member) = members.next_member().map_err(unreadable)? {
        if !std::str::from_utf8(&member.name).is_ok_and(&is_wanted) {
            continue;
        }
        match member.kind {
            Kind::File => {
                look(&mut members).map_err(failed())?;
                return Ok(true);
            }
            // Without its holes it would be another disk.
            Kind::Sparse => return Err(refused("Sparse files in OVA archives are not supported.")),
            // Upstream follows links to other members; no tool makes such archives.
            Kind::Other => {}
        }
    }
    Ok(false)
}

fn unreadable(error: WalkError) -> PluginError {
    match error {
        WalkError::Read(error) => PluginError::io("reading the OVA archive")(error),
        error => refused(&format!("The OVA archive cannot be read: {error}")),
    }
}

/// Reads an OVF file. Document types, whose entities can grow beyond all bounds, are refused.
fn describe(text: &str, interesting: &[String]) -> Result<Description, PluginError> {
    let malformed = |cause: &str| refused(&format!("The OVF file cannot be read: {cause}"));
    if text.matches("xmlns").nth(NAMESPACES).is_some() || text.matches('=').nth(NODES as usize).is_some() {
        return Err(malformed("it has too many attributes"));
    }
    let options = roxmltree::ParsingOptions { nodes_limit: NODES, ..roxmltree::ParsingOptions::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| malformed(&error.to_string()))?;
    let elements = || document.descendants().filter(roxmltree::Node::is_element);
    let named = |name: &'static str| elements().filter(move |element| element.tag_name().name() == name);
    let attribute = |element: roxmltree::Node<'_, '_>, name: &str| {
        element.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value().to_owned())
    };
    let section = named("DiskSection").next_back().ok_or_else(|| malformed("it has no DiskSection"))?;
    let mut disks = section.children().filter(|child| child.tag_name().name() == "Disk");
    let disk = disks.next().ok_or_else(|| malformed("it has no Disk"))?;
    if disks.next().is_some() {
        return Err(refused("Currently, OVA packages containing multiple disk are not supported."));
    }
    let reference = attribute(disk, "fileRef").ok_or_else(|| malformed("the Disk has no fileRef"))?;
    let files = named("References").next_back().ok_or_else(|| malformed("it has no References"))?;
    let mut files = files.children().filter(roxmltree::Node::is_element);
    let file = files.find(|file| attribute(*file, "id").as_ref() == Some(&reference));
    let disk = file.and_then(|file| attribute(file, "href")).ok_or_else(|| malformed("the Disk refers to nothing"))?;
    let of_interest = elements().filter(|element| {
        let tag = element.tag_name();
        tag.namespace() == Some(CIM.0) && interesting.iter().any(|name| name == tag.name())
    });
    let property = |element: roxmltree::Node<'_, '_>| {
        let name = format!("{}_{}", CIM.1, element.tag_name().name());
        (name, element.text().unwrap_or_default().trim().to_owned())
    };
    Ok(Description { disk, properties: of_interest.map(property).collect() })
}

/// The names of the elements that become properties. Without a readable file there are none.
pub(super) fn interesting(file: Option<&Path>) -> Vec<String> {
    let Some(file) = file else {
        warn!("OVF properties config file \"{METADATA}\" was not found.");
        return Vec::new();
    };
    let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let document = read.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
    let document = document.unwrap_or_else(|error| {
        warn!(file = %file.display(), error, "the names of OVF properties cannot be read");
        Value::Null
    });
    let names = document.get("cim_pasd").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn refused(text: &str) -> PluginError {
    PluginError::Refused(text.to_owned())
}

#[cfg(test)]
mod tests;
