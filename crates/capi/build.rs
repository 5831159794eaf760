//! Names the shared library after the version of its interface: a program finds the one it was linked with, or none.

include!("src/version.rs");

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtsonami_c.so.{TSONAMI_ABI_VERSION}");
    println!("cargo::rerun-if-changed=src/version.rs");
    println!("cargo::rerun-if-changed=build.rs");
}
