//! Our crates as trees of modules, and what a name means in one of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree};

/// The crates that the library's names may come from, and the folders of those.
const CRATES: [&str; 5] = ["dpdk", "engine", "ring", "tcp", "tsonami"];

/// A module: its crate, and the way to it from there.
pub(crate) type Place = Vec<String>;

/// An item: the module it is in, and its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Name {
    pub(crate) place: Place,
    pub(crate) name: String,
}

/// Every module, with what is in it.
pub(crate) struct Sources(BTreeMap<Place, Vec<Item>>);

impl Sources {
    /// Reads all crates below a folder.
    pub(crate) fn read(folder: &Path) -> Sources {
        let mut sources = Sources(BTreeMap::new());
        for name in CRATES {
            let file = folder.join(name).join("src/lib.rs");
            sources.read_file(vec![name.into()], &file, &file.with_file_name(""));
        }
        sources
    }

    /// Reads a file. `below`: where the files of its modules are.
    fn read_file(&mut self, place: Place, file: &Path, below: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(place, parsed.items, below, None);
    }

    fn add(&mut self, place: Place, items: Vec<Item>, below: &Path, condition: Option<&Attribute>) {
        let mut kept = Vec::new();
        for mut item in items {
            if attributes(&mut item).iter().any(is_elsewhere) {
                continue;
            }
            // A condition of a module is one of all that is in it.
            attributes(&mut item).extend(condition.cloned());
            if let Item::Mod(module) = &item {
                let name = module.ident.to_string();
                let inside = [place.clone(), vec![name.clone()]].concat();
                let folder = below.join(&name);
                let condition = module.attrs.iter().find(|attribute| attribute.path().is_ident("cfg"));
                match &module.content {
                    Some((_, items)) => self.add(inside, items.clone(), &folder, condition),
                    None => {
                        let beside = below.join(format!("{name}.rs"));
                        let file: PathBuf = if beside.exists() { beside } else { folder.join("mod.rs") };
                        self.read_file(inside, &file, &folder);
                    }
                }
            }
            kept.push(item);
        }
        self.0.insert(place, kept);
    }

    /// Everything there is, with the modules it is in.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Place, &Item)> {
        self.0.iter().flat_map(|(place, items)| items.iter().map(move |item| (place, item)))
    }

    /// What is in a module.
    pub(crate) fn items(&self, place: &Place) -> &[Item] {
        self.0.get(place).map_or(&[], Vec::as_slice)
    }

    /// The item of this name.
    pub(crate) fn item(&self, name: &Name) -> Option<&Item> {
        self.items(&name.place).iter().find(|item| identifier(item).is_some_and(|own| own == name.name))
    }

    /// What a path means in a module; `None` for what is not ours.
    pub(crate) fn resolve(&self, place: &Place, path: &[String]) -> Option<Name> {
        self.resolve_within(place, path, 0)
    }

    fn resolve_within(&self, place: &Place, path: &[String], depth: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        if depth > 16 {
            return None;
        }
        if rest.is_empty() {
            return self.look_up(place, first, depth);
        }
        let parent = || place[..place.len().saturating_sub(1)].to_vec();
        let next = match first.as_str() {
            "crate" => vec![place[0].clone()],
            "self" => place.clone(),
            "super" => parent(),
            _ => {
                let inside = [place.clone(), vec![first.clone()]].concat();
                match self.0.contains_key(&inside) {
                    true => inside,
                    false if CRATES.contains(&first.as_str()) => vec![first.clone()],
                    // A module that was brought here by `use`.
                    false => {
                        let found = self.look_up(place, first, depth)?;
                        [found.place, vec![found.name]].concat()
                    }
                }
            }
        };
        self.resolve_within(&next, rest, depth + 1)
    }

    fn look_up(&self, place: &Place, name: &str, depth: usize) -> Option<Name> {
        let inside = [place.clone(), vec![name.to_owned()]].concat();
        let here = Name { place: place.clone(), name: name.to_owned() };
        if self.item(&here).is_some() || self.0.contains_key(&inside) {
            return Some(here);
        }
        for item in self.items(place) {
            let Item::Use(used) = item else { continue };
            for (path, as_name) in leaves(&used.tree) {
                let path = match as_name.as_str() {
                    "*" => [path, vec![name.to_owned()]].concat(),
                    known if known == name => path,
                    _ => continue,
                };
                if let Some(found) = self.resolve_within(place, &path, depth + 1) {
                    return Some(found);
                }
            }
        }
        let is_made = self.made_by(&here).next().is_some();
        is_made.then_some(here)
    }

    /// The macro calls in a module that make the item of this name: the name is in them, or in the definition.
    pub(crate) fn made_by<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = TokenStream> + 'a {
        let macros = || {
            self.items(&name.place).iter().filter_map(|item| match item {
                Item::Macro(item) => Some(item),
                _ => None,
            })
        };
        let definitions = macros().filter(|item| says(item.mac.tokens.clone(), &name.name));
        let makers: Vec<String> =
            definitions.filter_map(|item| item.ident.as_ref().map(ToString::to_string)).collect();
        let calls = macros().filter(|item| item.ident.is_none());
        calls
            .filter(move |item| {
                let maker = item.mac.path.segments.last().map(|last| last.ident.to_string());
                maker.is_some_and(|maker| makers.contains(&maker))
                    || says(item.mac.tokens.clone(), &name.name)
            })
            .map(|item| item.mac.tokens.clone())
    }
}

/// Whether a name is in the text of a macro.
fn says(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => says(group.stream(), name),
        _ => false,
    })
}

/// Tests, documentation, and what only a model checker sees.
fn is_elsewhere(attribute: &Attribute) -> bool {
    let words = ["test", "doctest", "loom"];
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| words.contains(&list.tokens.to_string().as_str()))
}

/// The attributes of an item of any kind.
pub(crate) fn attributes(item: &mut Item) -> &mut Vec<Attribute> {
    match item {
        Item::Const(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::ExternCrate(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Macro(item) => &mut item.attrs,
        Item::Mod(item) => &mut item.attrs,
        Item::Static(item) => &mut item.attrs,
        Item::Struct(item) => &mut item.attrs,
        Item::Trait(item) => &mut item.attrs,
        Item::Type(item) => &mut item.attrs,
        Item::Union(item) => &mut item.attrs,
        Item::Use(item) => &mut item.attrs,
        other => panic!("an item of a new kind: {other:?}"),
    }
}

/// The name of an item that has one, modules apart.
pub(crate) fn identifier(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// What a `use` brings: each path, and the name it gets, which is `*` for all that is there.
pub(crate) fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    let own = |name: &syn::Ident| (vec![name.to_string()], name.to_string());
    match tree {
        UseTree::Path(path) => {
            let below = leaves(&path.tree).into_iter();
            let first = path.ident.to_string();
            below
                .map(|(rest, name)| match rest.as_slice() {
                    // `a::{self}` is `a`.
                    [only] if only == "self" && name == "self" => (vec![first.clone()], first.clone()),
                    _ => ([vec![first.clone()], rest].concat(), name),
                })
                .collect()
        }
        UseTree::Name(name) => vec![own(&name.ident)],
        UseTree::Rename(rename) => vec![(vec![rename.ident.to_string()], rename.rename.to_string())],
        UseTree::Glob(_) => vec![(Vec::new(), "*".into())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}
