//! One served resource: its names, its verbs and the rules for its objects.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    decode::{self, Decoded, FieldValidation, Invalid},
    defaults, prepare,
    schema::Schema,
    status::Cause,
    validate,
};

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Inside one namespace.
    Namespaced,
    /// One per installation.
    Cluster,
}

/// A path below an object, such as `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Last path segment: `status`, `scale`, `binding`, `log`, ...
    pub name: Arc<str>,
    /// Group of the body's kind; empty for core.
    pub group: Arc<str>,
    /// Version of the body's kind.
    pub version: Arc<str>,
    /// Kind of the body: `Deployment` for status, `Scale` for scale.
    pub kind: Arc<str>,
    /// Verbs served, for discovery.
    pub verbs: Vec<Arc<str>>,
}

/// JSON paths of the scale subresource, relative to the object: `.spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Where the wanted number of replicas is.
    pub spec_replicas: Arc<str>,
    /// Where the observed number of replicas is.
    pub status_replicas: Arc<str>,
    /// Where the selector is: a label selector object or its text form.
    pub selector: Option<Arc<str>>,
}

/// A column of a custom kind's table (`additionalPrinterColumns`).
#[derive(Clone, Debug, PartialEq)]
pub struct PrinterColumn {
    /// Head of the column.
    pub name: Arc<str>,
    /// `string`, `integer`, `number`, `boolean` or `date` (shown as an age).
    pub kind: Arc<str>,
    /// OpenAPI format hint.
    pub format: Option<Arc<str>>,
    /// What it means.
    pub description: Option<Arc<str>>,
    /// 0 is always shown, more only by `-o wide`.
    pub priority: i64,
    /// JSON path of the cell, starting with a dot.
    pub json_path: Arc<str>,
}

/// Rules of a custom kind that the field tree cannot express.
pub trait CustomRules: std::fmt::Debug + Send + Sync {
    /// Judges a defaulted object; `old` is the stored one on an update.
    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause>;
}

/// What a kind's rules are made of.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Compiled into this crate, chosen by group and kind.
    BuiltIn,
    /// From a `CustomResourceDefinition`.
    Custom {
        /// Structural rules, list uniqueness and CEL.
        rules: Arc<dyn CustomRules>,
        /// Columns of its tables; empty means name and age.
        columns: Arc<[PrinterColumn]>,
        /// Field selectors allowed besides the metadata ones, as JSON paths (`.spec.color`).
        selectable: Arc<[Arc<str>]>,
        /// Whether status is a subresource (then writes to the object ignore it).
        status: bool,
    },
}

/// One resource in one version.
#[expect(
    clippy::struct_field_names,
    reason = "these are the names that discovery uses"
)]
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group; empty for core.
    pub group: Arc<str>,
    /// Version in the group.
    pub version: Arc<str>,
    /// Kind of one object.
    pub kind: Arc<str>,
    /// Kind of a list of objects.
    pub list_kind: Arc<str>,
    /// Path segment.
    pub plural: Arc<str>,
    /// Lower-case singular name.
    pub singular: Arc<str>,
    /// Names that kubectl accepts instead of the plural.
    pub short_names: Vec<Arc<str>>,
    /// Groups of kinds for kubectl, such as `all`.
    pub categories: Vec<Arc<str>>,
    /// Where objects live.
    pub scope: Scope,
    /// Served paths below an object.
    pub subresources: Vec<Subresource>,
    /// Verbs served on objects and lists.
    pub verbs: Vec<Arc<str>>,
    /// Where replicas are, when there is a scale subresource.
    pub scale: Option<ScalePaths>,
    /// Field tree of one object.
    pub schema: Arc<Schema>,
    /// Text of the `Warning` header on every request, when the kind is on its way out.
    pub deprecation: Option<Arc<str>>,
    /// Group of the kind whose store this one shows, when not its own (events.k8s.io shows core's).
    pub stored_group: Arc<str>,
    /// Whether a strategic merge patch is accepted.
    pub strategic_patch: bool,
    /// Whether a DELETE that removes at once answers with the object instead of a `Status`.
    pub delete_returns_object: bool,
    /// Where the rest of the rules come from.
    pub rules: Rules,
}

impl Kind {
    /// `apps/v1`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// `deployments.apps`, or `pods` for core: how errors name the resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Deployment.apps`, or `Pod` for core: how errors of validation name the kind.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.to_string()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| &*sub.name == name)
    }

    /// Whether status may only be written through `/status`.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Checks a parsed body against the field tree: unknown fields and wrong types.
    ///
    /// The object of the answer has no unknown fields and (built-in kinds) no nulls; `apiVersion`
    /// and `kind` are filled in when absent.
    ///
    /// # Errors
    /// [`Invalid`] is to be answered as 400 with its `Display` text.
    pub fn decode(&self, body: &Value, mode: FieldValidation) -> Result<Decoded, Invalid> {
        decode::decode(self, body, mode, &[])
    }

    /// As [`Kind::decode`], with the duplicate keys that [`crate::parse_json`] found.
    ///
    /// # Errors
    /// As [`Kind::decode`].
    pub fn decode_with_duplicates(
        &self,
        body: &Value,
        mode: FieldValidation,
        duplicates: &[String],
    ) -> Result<Decoded, Invalid> {
        decode::decode(self, body, mode, duplicates)
    }

    /// Fills in what the server fills in for absent fields. Idempotent.
    pub fn default(&self, object: &mut Value) {
        defaults::default(self, object);
    }

    /// Readies a decoded, defaulted object for its first write: clears what the client may not set
    /// (status) and sets generation 1 where the kind counts generations.
    pub fn prepare_create(&self, object: &mut Value) {
        prepare::create(self, object);
    }

    /// Readies `new` to replace `old`: server-owned metadata is carried over, the side that this
    /// request may not write (status, or everything else for `/status`) is taken from `old`, and
    /// generation grows by one when the specification changed.
    pub fn prepare_update(&self, new: &mut Value, old: &Value, subresource: Option<&str>) {
        prepare::update(self, new, old, subresource);
    }

    /// What is wrong with a defaulted object; empty when it may be stored. `old` is the stored
    /// object on an update.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        validate::validate(self, new, old)
    }

    /// Values of the fields that a field selector may name: always
    /// `metadata.name` (and `metadata.namespace`), then the kind's own. A name that is not in the
    /// list is not selectable (400).
    pub fn selectable_fields(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        prepare::selectable_fields(self, object)
    }
}
