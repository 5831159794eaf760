//! Declarations without what is private, without bodies and without comments.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::token::Comma;
use syn::{
    Attribute, Field, Fields, ImplItem, Item, ItemImpl, Path, TraitItem, Type, Visibility, parse_quote,
};

use crate::sources::{Name, Place, Sources, attributes, identifier, leaves};

/// What stands for fields that are private.
const PRIVATE: &str = "__private";

/// Everything that a crate offers, by name.
pub(crate) fn of(sources: &Sources, name: &str) -> String {
    let root = vec![name.to_owned()];
    let mut offered: BTreeMap<String, String> = BTreeMap::new();
    for item in sources.items(&root) {
        match item {
            Item::Use(used) if is_public(&used.vis) => {
                for (path, name) in leaves(&used.tree) {
                    let text = match sources.resolve(&root, &path) {
                        Some(found) => declaration(sources, &found),
                        None => format!("pub use {};\n", path.join("::")),
                    };
                    offered.insert(name, text);
                }
            }
            item => {
                if let Some(name) = identifier(item).filter(|_| is_offered(item)) {
                    offered.insert(name.clone(), declaration(sources, &Name { place: root.clone(), name }));
                }
            }
        }
    }
    offered.into_values().collect::<Vec<_>>().join("\n")
}

/// An item, and what is implemented for it.
fn declaration(sources: &Sources, name: &Name) -> String {
    let mut text = match sources.item(name) {
        Some(item) => print(bare(item.clone())),
        None => {
            let calls: Vec<String> = sources.made_by(name).map(|tokens| words(tokens, 1)).collect();
            assert!(!calls.is_empty(), "{name:?} is a module: offer what is in it");
            format!("macro {}!(\n{});\n", name.name, calls.concat())
        }
    };
    let mut own: BTreeMap<String, ItemImpl> = BTreeMap::new();
    let mut traits = Vec::new();
    for (place, item) in sources.all() {
        let Item::Impl(block) = item else { continue };
        if target(sources, place, &block.self_ty).as_ref() != Some(name) {
            continue;
        }
        if block.trait_.is_some() {
            traits.push(print(Item::Impl(of_trait(block.clone()))));
        } else if let Some(block) = of_type(block.clone()) {
            // Where a method stands is nobody's business.
            let empty = ItemImpl { items: Vec::new(), ..block.clone() };
            let head = print(Item::Impl(empty));
            match own.get_mut(&head) {
                Some(known) => known.items.extend(block.items),
                None => drop(own.insert(head, block)),
            }
        }
    }
    for mut block in own.into_values() {
        block.items.sort_by_key(|item| match item {
            ImplItem::Const(item) => (0, item.ident.to_string()),
            ImplItem::Fn(item) => (1, item.sig.ident.to_string()),
            _ => (2, String::new()),
        });
        text += &print(Item::Impl(block));
    }
    traits.sort();
    text + &traits.concat()
}

/// The text of a macro call without comments and strings, a line for each part.
fn words(tokens: TokenStream, depth: usize) -> String {
    let indent = "    ".repeat(depth);
    let mut text = String::new();
    for token in tokens {
        if text.is_empty() || text.ends_with('\n') {
            text += &indent;
        }
        match token {
            TokenTree::Group(group) if group.to_string().starts_with("[doc") => {
                text.truncate(text.trim_end().trim_end_matches('#').len());
            }
            TokenTree::Group(group) => {
                text += &format!("{{\n{}{indent}}}\n", words(group.stream(), depth + 1))
            }
            TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';') => {
                text.truncate(text.trim_end().len());
                text += &format!("{punct}\n");
            }
            TokenTree::Punct(punct) => text += &punct.to_string(),
            TokenTree::Literal(literal) if literal.to_string().starts_with('"') => {}
            other => text += &format!("{other} "),
        }
    }
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

/// What a type is the name of, if it is one of ours.
fn target(sources: &Sources, place: &Place, of: &Type) -> Option<Name> {
    let Type::Path(path) = of else { return None };
    sources.resolve(place, &segments(&path.path))
}

fn segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The methods and constants that are public, if there are any.
fn of_type(mut block: ItemImpl) -> Option<ItemImpl> {
    keep_telling(&mut block.attrs);
    block.items.retain_mut(|item| match item {
        ImplItem::Fn(method) => {
            keep_telling(&mut method.attrs);
            method.block = parse_quote!({});
            is_public(&method.vis)
        }
        ImplItem::Const(constant) => {
            keep_telling(&mut constant.attrs);
            constant.expr = parse_quote!(_);
            is_public(&constant.vis)
        }
        _ => true,
    });
    (!block.items.is_empty()).then_some(block)
}

/// Which trait it is, and the types that go with it: the methods are the trait's.
fn of_trait(mut block: ItemImpl) -> ItemImpl {
    keep_telling(&mut block.attrs);
    block.items.retain(|item| matches!(item, ImplItem::Type(_)));
    block
}

/// An item without what is private and without bodies.
fn bare(mut item: Item) -> Item {
    keep_telling(attributes(&mut item));
    match &mut item {
        Item::Struct(item) => bare_fields(&mut item.fields),
        Item::Enum(item) => {
            for variant in &mut item.variants {
                keep_telling(&mut variant.attrs);
                for field in &mut variant.fields {
                    keep_telling(&mut field.attrs);
                }
            }
        }
        Item::Fn(item) => *item.block = parse_quote!({}),
        Item::Const(item) => *item.expr = parse_quote!(_),
        Item::Trait(item) => {
            for item in &mut item.items {
                if let TraitItem::Fn(method) = item {
                    keep_telling(&mut method.attrs);
                    method.default = method.default.take().map(|_| parse_quote!({ .. }));
                }
            }
        }
        _ => {}
    }
    item
}

/// Public fields stay; one stands for all others.
fn bare_fields(fields: &mut Fields) {
    let keep = |fields: &mut Punctuated<Field, Comma>, private: Field| {
        let all = fields.len();
        let mut kept: Punctuated<Field, Comma> =
            fields.iter().filter(|f| is_public(&f.vis)).cloned().collect();
        if kept.len() < all {
            kept.push(private);
        }
        kept.iter_mut().for_each(|field| keep_telling(&mut field.attrs));
        *fields = kept;
    };
    let name: syn::Ident = syn::Ident::new(PRIVATE, proc_macro2::Span::call_site());
    match fields {
        Fields::Named(fields) => keep(&mut fields.named, parse_quote!(#name: ())),
        Fields::Unnamed(fields) => keep(&mut fields.unnamed, parse_quote!(#name)),
        Fields::Unit => {}
    }
}

/// Attributes that somebody who uses the item wants to know. What derives helps itself to is not.
fn keep_telling(attributes: &mut Vec<Attribute>) {
    let tells = ["derive", "non_exhaustive", "must_use", "repr", "cfg"];
    attributes.retain(|attribute| tells.iter().any(|name| attribute.path().is_ident(name)));
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_offered(item: &Item) -> bool {
    match item {
        Item::Const(item) => is_public(&item.vis),
        Item::Enum(item) => is_public(&item.vis),
        Item::Fn(item) => is_public(&item.vis),
        Item::Static(item) => is_public(&item.vis),
        Item::Struct(item) => is_public(&item.vis),
        Item::Trait(item) => is_public(&item.vis),
        Item::Type(item) => is_public(&item.vis),
        _ => false,
    }
}

fn print(item: Item) -> String {
    let text = prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items: vec![item] });
    text.replace(&format!("{PRIVATE}: ()"), "..")
        .replace(PRIVATE, "..")
        .replace("..,\n", "..\n")
        .replace("\n    {}\n", ";\n")
        .replace("\n    where\n", " where\n")
        .replace(" {}\n", ";\n")
        .replace(" = _;\n", ";\n")
}
