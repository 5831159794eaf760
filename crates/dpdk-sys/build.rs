//! Finds libdpdk by pkg-config, compiles the shim and generates the bindings.
//!
//! pkg-config's C flags (`-include rte_config.h -march=…`) go to the compiler *and* to bindgen: without them the
//! two would disagree about the layout of DPDK's structures.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, exit};
use std::{env, panic};

/// What the safe crate uses; nothing else is bound.
const FUNCTIONS: &[&str] = &[
    "shim_.*",
    "rte_eal_(init|cleanup|get_runtime_dir|iova_mode|has_hugepages)",
    "rte_version(_year|_month)?",
    "rte_strerror",
    "rte_openlog_stream",
    "rte_log_set_(global_level|level_pattern)",
    "rte_get_tsc_hz",
    "rte_thread_(un)?register",
    "rte_memzone_(reserve_aligned|free)",
    "rte_mem_(virt2iova|lock_page)",
    "rte_extmem_(un)?register",
    "rte_dev_dma_(un)?map",
    "rte_mempool_(free|avail_count|in_use_count)",
    "rte_pktmbuf_pool_create",
    "rte_pktmbuf_free_bulk",
    "rte_mbuf_dynfield_register",
    "rte_dev_(probe|remove)",
    "rte_eth_dev_(info_get|configure|start|stop|close|get_port_by_name|get_name_by_port|set_mtu|get_mtu|socket_id|is_valid_port)",
    "rte_eth_dev_(adjust_nb_rx_tx_desc|rss_hash_conf_get|rss_reta_query|tx_offload_name|rx_offload_name)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_timesync_(enable|read_tx_timestamp|read_time)",
    "rte_eth_(macaddr_get|stats_get|stats_reset|promiscuous_enable|tx_done_cleanup|add_tx_callback)",
];
const TYPES: &[&str] = &["rte_eth_rss_reta_entry64", "rte_eth_desc_lim"];
const CONSTANTS: &[&str] = &[
    "RTE_MBUF_F_.*",
    "RTE_ETH_(TX|RX)_OFFLOAD_.*",
    "RTE_ETH_MQ_RX_(NONE|RSS)",
    "RTE_ETH_RSS_(IPV4|IPV6|NONFRAG_IPV4_TCP|NONFRAG_IPV6_TCP)",
    "RTE_ETH_DEV_NO_OWNER",
    "RTE_PKTMBUF_HEADROOM",
    "RTE_MEMZONE_IOVA_CONTIG",
    "RTE_MAX_ETHPORTS",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_MEMZONE_NAMESIZE",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_RETA_GROUP_SIZE",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_LOG_(ERR|WARNING|NOTICE|INFO|DEBUG)",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim/shim.c");
    println!("cargo:rerun-if-changed=shim/shim.h");

    // Shared linking. EAL loads the drivers it finds in its plugin folder, so no driver is named here.
    let dpdk = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(false)
        .probe("libdpdk")
        .unwrap_or_else(|_| fail("DPDK 22.11 or newer was not found by pkg-config", &why_not_found()));
    for path in &dpdk.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }

    let mut flags: Vec<String> = compiler_flags();
    // A newer compiler than the one DPDK was packaged with must not turn its headers' warnings into noise.
    flags.push("-w".into());

    let mut shim = cc::Build::new();
    shim.file("shim/shim.c").opt_level(3);
    for flag in &flags {
        shim.flag(flag);
    }
    if let Err(e) = shim.try_compile("dpdk_shim") {
        fail("the C compiler could not build DPDK's shim", &e.to_string());
    }
    // After the shim, which needs them. Only the libraries that are used: EAL loads what the drivers need.
    for lib in ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal", "rte_kvargs"] {
        println!("cargo:rustc-link-lib=dylib={lib}");
    }
    if dpdk.libs.iter().any(|l| l == "rte_log") {
        // Split off EAL in 23.11.
        println!("cargo:rustc-link-lib=dylib=rte_log");
    }

    let mut builder = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(&flags)
        .use_core()
        .layout_tests(true)
        .derive_default(true)
        .generate_comments(false)
        .prepend_enum_name(false)
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(out_dir())
        // Ours, in `lib.rs`: hot fields at pinned offsets, whatever markers and anonymous unions a version has.
        .blocklist_type("rte_mbuf")
        .blocklist_type("rte_mbuf_ext_shared_info")
        .blocklist_type("rte_mempool")
        .blocklist_type("FILE|_IO_FILE")
        .raw_line("use crate::layout::*;");
    for f in FUNCTIONS {
        builder = builder.allowlist_function(f);
    }
    for t in TYPES {
        builder = builder.allowlist_type(t);
    }
    for c in CONSTANTS {
        builder = builder.allowlist_var(c);
    }
    // bindgen panics when it cannot load libclang; the panic's text alone would not say what to install.
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let generated = panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate()));
    panic::set_hook(quiet);
    let bindings = match generated {
        Ok(Ok(b)) => b,
        Ok(Err(e)) => fail("bindgen could not read DPDK's headers", &e.to_string()),
        Err(_) => fail("libclang was not found, which bindgen needs to read DPDK's headers", ""),
    };
    if let Err(e) = bindings.write_to_file(out_dir().join("bindings.rs")) {
        fail("the generated bindings could not be written", &e.to_string());
    }
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}

fn pkg_config_tool() -> OsString {
    env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into())
}

/// pkg-config's own words, which are shorter than those of the crate.
fn why_not_found() -> String {
    let arguments = ["--print-errors", "--errors-to-stdout", "--exists", "libdpdk >= 22.11"];
    match Command::new(pkg_config_tool()).args(arguments).output() {
        Ok(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
        Err(e) => format!("pkg-config could not be run: {e}"),
    }
}

/// The C flags exactly as the package gives them: the crate's own parsing drops `-include` and `-march`.
fn compiler_flags() -> Vec<String> {
    match Command::new(pkg_config_tool()).args(["--cflags", "libdpdk"]).output() {
        Ok(out) if out.status.success() => {
            String::from_utf8_lossy(&out.stdout).split_whitespace().map(str::to_owned).collect()
        }
        Ok(out) => fail("pkg-config gives no flags for libdpdk", &String::from_utf8_lossy(&out.stderr)),
        Err(e) => fail("pkg-config could not be run", &e.to_string()),
    }
}

/// Ends the build with one readable message. Exiting instead of panicking keeps a backtrace out of it.
fn fail(what: &str, detail: &str) -> ! {
    eprintln!();
    eprintln!("error: {what}.");
    if !detail.is_empty() {
        eprintln!("{}", detail.trim_end());
    }
    eprintln!();
    eprintln!("tsonami builds against the system's DPDK (22.11 or newer). Install what it needs:");
    eprintln!("  Debian, Ubuntu:  sudo apt-get install libdpdk-dev libclang-dev clang pkg-config");
    eprintln!("  Fedora:          sudo dnf install dpdk-devel clang-devel clang pkgconf-pkg-config");
    eprintln!("DPDK in a place of its own: set PKG_CONFIG_PATH to the folder that holds libdpdk.pc.");
    eprintln!();
    exit(1);
}
