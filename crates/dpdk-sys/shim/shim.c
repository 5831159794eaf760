#define _GNU_SOURCE
#include "shim.h"

#include <stddef.h>

/* The layout that lib.rs writes down as its own. */
#define AT(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), \
		"this DPDK build places rte_mbuf." #field " elsewhere than crates/dpdk-sys/src/layout.rs")
AT(buf_addr, 0);
AT(buf_iova, 8); /* absent when DPDK was built without IOVA in mbufs (enable_iova_as_pa=false): not supported */
AT(data_off, 16);
AT(refcnt, 18);
AT(nb_segs, 20);
AT(port, 22);
AT(ol_flags, 24);
AT(packet_type, 32);
AT(pkt_len, 36);
AT(data_len, 40);
AT(vlan_tci, 42);
AT(hash, 44);
AT(vlan_tci_outer, 52);
AT(buf_len, 54);
AT(pool, 56);
AT(next, 64);
AT(tx_offload, 72);
AT(shinfo, 80);
AT(priv_size, 88);
AT(timesync, 90);
AT(dynfield1, 92);
_Static_assert(sizeof(struct rte_mbuf) == 128, "this DPDK build has an rte_mbuf of another size");

#define EXT_AT(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf_ext_shared_info, field) == (offset), \
		"this DPDK build places rte_mbuf_ext_shared_info." #field " elsewhere than layout.rs")
EXT_AT(free_cb, 0);
EXT_AT(fcb_opaque, 8);
EXT_AT(refcnt, 16);
_Static_assert(sizeof(struct rte_mbuf_ext_shared_info) == 24, "rte_mbuf_ext_shared_info has another size");

/* tx_offload is written as one word. */
_Static_assert(RTE_MBUF_L2_LEN_OFS == 0 && RTE_MBUF_L3_LEN_OFS == 7 && RTE_MBUF_L4_LEN_OFS == 16 &&
		RTE_MBUF_TSO_SEGSZ_OFS == 24 && RTE_MBUF_OUTL3_LEN_OFS == 40,
	"this DPDK build packs rte_mbuf.tx_offload otherwise than crates/dpdk/src/offload.rs");

int shim_errno(void) { return rte_errno; }

uint64_t shim_rdtsc(void) { return rte_rdtsc(); }

struct sink {
	void *cookie;
	void (*write)(void *cookie, const char *bytes, size_t length);
};

static ssize_t sink_write(void *opaque, const char *bytes, size_t length)
{
	struct sink *sink = opaque;
	sink->write(sink->cookie, bytes, length);
	return (ssize_t)length;
}

static int sink_close(void *opaque)
{
	free(opaque);
	return 0;
}

FILE *shim_stream(void *cookie, void (*write)(void *cookie, const char *bytes, size_t length))
{
	struct sink *sink = malloc(sizeof(*sink));
	if (sink == NULL)
		return NULL;
	sink->cookie = cookie;
	sink->write = write;
	cookie_io_functions_t io = { .write = sink_write, .close = sink_close };
	FILE *stream = fopencookie(sink, "w", io);
	if (stream == NULL) {
		free(sink);
		return NULL;
	}
	setvbuf(stream, NULL, _IOLBF, 0);
	return stream;
}

void shim_stream_close(FILE *stream) { fclose(stream); }

uint32_t shim_mempool_size(const struct rte_mempool *mp) { return mp->size; }

uint32_t shim_mempool_populated(const struct rte_mempool *mp) { return mp->populated_size; }

int shim_pktmbuf_alloc_bulk(struct rte_mempool *mp, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(mp, mbufs, count);
}

void shim_pktmbuf_free(struct rte_mbuf *m) { rte_pktmbuf_free(m); }

void shim_pktmbuf_free_seg(struct rte_mbuf *m) { rte_pktmbuf_free_seg(m); }

void shim_pktmbuf_reset(struct rte_mbuf *m) { rte_pktmbuf_reset(m); }

uint16_t shim_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t shim_eth_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_prepare(port, queue, mbufs, count);
}

uint16_t shim_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

int shim_eth_tx_descriptor_status(uint16_t port, uint16_t queue, uint16_t offset)
{
	return rte_eth_tx_descriptor_status(port, queue, offset);
}

int shim_eth_link(uint16_t port, uint32_t *mbps, uint8_t *up)
{
	struct rte_eth_link link = {0};
	int rc = rte_eth_link_get_nowait(port, &link);
	if (rc == 0) {
		*mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
		*up = link.link_status == RTE_ETH_LINK_UP;
	}
	return rc;
}
