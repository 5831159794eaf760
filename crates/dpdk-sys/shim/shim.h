/* What the bindings are made from: DPDK's headers, and functions for what DPDK only has as static inlines,
 * macros, or structures that differ between versions. */
#ifndef TSONAMI_SHIM_H
#define TSONAMI_SHIM_H

#include <stdio.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <rte_version.h>

int shim_errno(void);
uint64_t shim_rdtsc(void);

/* A line-buffered stream whose writes go to `write(cookie, bytes, length)`. */
FILE *shim_stream(void *cookie, void (*write)(void *cookie, const char *bytes, size_t length));
void shim_stream_close(FILE *stream);

uint32_t shim_mempool_size(const struct rte_mempool *mp);
uint32_t shim_mempool_populated(const struct rte_mempool *mp);

int shim_pktmbuf_alloc_bulk(struct rte_mempool *mp, struct rte_mbuf **mbufs, unsigned int count);
void shim_pktmbuf_free(struct rte_mbuf *m);
void shim_pktmbuf_free_seg(struct rte_mbuf *m);
void shim_pktmbuf_reset(struct rte_mbuf *m);

uint16_t shim_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_eth_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
int shim_eth_tx_descriptor_status(uint16_t port, uint16_t queue, uint16_t offset);

/* Speed in Mbit/s (0: unknown), 1 when up. struct rte_eth_link became a union in 24.11. */
int shim_eth_link(uint16_t port, uint32_t *mbps, uint8_t *up);

#endif
