/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's registers: reset, address, filters, rings, link, counters. Names are the 82574 datasheet's.
 *
 * The PHY negotiates by itself; nothing is done to it. Of what a reset sets all that matters is written all the same: some
 * devices (QEMU's) keep most of it.
 */
#include <errno.h>
#include <string.h>

#include "drivers/net/e1000e/e1000e.h"

#define RESET_PAUSE_NS (10 * OB_NS_PER_US) /* registers are not touched right behind a reset */

#define TX_COLLISIONS 0x0fu /* as the datasheet recommends */
#define TX_DISTANCE   0x3fu /* … for full duplex */

static uint32_t read_reg(const struct e1000e *e, uint32_t offset)
{
	return ob_mmio_read32(&e->regs, offset);
}

static void write_reg(const struct e1000e *e, uint32_t offset, uint32_t value)
{
	ob_mmio_write32(&e->regs, offset, value);
}

/* Return when what was written has arrived. */
static void arrive(const struct e1000e *e)
{
	(void)read_reg(e, E1000E_STATUS);
}

/* Neither is what it says while it works; zeroes are what QEMU has for registers of nobody. */
bool e1000e_is_gone(struct e1000e *e)
{
	uint32_t status = read_reg(e, E1000E_STATUS);

	if ((status != UINT32_MAX && status != 0) || ob_device_is_present(e->dev))
		return false;
	ob_device_mark_gone(e->dev, "its status is nobody's");
	return true;
}

/* ---- reset ---- */

static void stop(struct e1000e *e)
{
	write_reg(e, E1000E_IMC, E1000E_CAUSE_ALL);
	write_reg(e, E1000E_RCTL, 0);
	write_reg(e, E1000E_TCTL, 0);
	/* No request may be under way when the reset comes. */
	write_reg(e, E1000E_CTRL, read_reg(e, E1000E_CTRL) | E1000E_CTRL_MASTER_DISABLE);
	if (ob_mmio_wait32(&e->regs, E1000E_STATUS, E1000E_STATUS_MASTER, 0, ob_deadline(E1000E_MASTER_NS), NULL) ==
	    -ETIMEDOUT)
		ob_warn(e->ob, "%s: its requests on the bus do not end", e->name);
}

static int reset_once(struct e1000e *e)
{
	uint64_t deadline_ns = ob_deadline(E1000E_RESET_NS);
	int ret;

	write_reg(e, E1000E_CTRL, read_reg(e, E1000E_CTRL) | E1000E_CTRL_RST);
	ob_task_sleep(ob_deadline(RESET_PAUSE_NS));
	ret = ob_mmio_wait32(&e->regs, E1000E_CTRL, E1000E_CTRL_RST, 0, deadline_ns, NULL);
	if (ret == 0)
		ret = ob_mmio_wait32(&e->regs, E1000E_EECD, E1000E_EECD_AUTO_READ, E1000E_EECD_AUTO_READ, deadline_ns,
				     NULL);
	return ret;
}

/* What must not be as it was. Length 0 switches a ring off. */
static void forget(struct e1000e *e)
{
	static const uint32_t zero[] = {E1000E_RCTL,   E1000E_TCTL,   E1000E_RDLEN0, E1000E_RDH0, E1000E_RDT0,
					E1000E_RDLEN1, E1000E_TDLEN0, E1000E_TDH0,   E1000E_TDT0, E1000E_TDLEN1,
					E1000E_MRQC,   E1000E_RXCSUM, E1000E_EIAC};

	write_reg(e, E1000E_IMC, E1000E_CAUSE_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
		write_reg(e, zero[i], 0);
	write_reg(e, E1000E_CTRL_EXT, read_reg(e, E1000E_CTRL_EXT) & ~E1000E_CTRL_EXT_DRIVER);
	write_reg(e, E1000E_ICR, E1000E_CAUSE_ALL);
}

int e1000e_hw_reset(struct e1000e *e)
{
	int ret = e1000e_is_gone(e) ? -ENODEV : 0;

	if (ret != 0)
		goto off;
	stop(e);
	ret = reset_once(e);
	if (ret == -ETIMEDOUT) {
		ob_warn(e->ob, "%s: does not come out of its reset; function-level reset", e->name);
		if (ob_device_reset(e->dev) == 0)
			ret = reset_once(e);
	}
	if (ret == 0)
		forget(e);
off:
	/* Whatever it says: without bus mastering nothing of it reaches memory. */
	ob_device_enable_dma(e->dev, false);
	return ret;
}

/* ---- addresses ---- */

static void write_address(struct e1000e *e, unsigned index, const uint8_t mac[6])
{
	/* Not valid in halves. */
	write_reg(e, E1000E_RAH(index), 0);
	if (mac == NULL)
		return;
	write_reg(e, E1000E_RAL(index),
		  (uint32_t)mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 | (uint32_t)mac[3] << 24);
	write_reg(e, E1000E_RAH(index),
		  E1000E_RAH_AV | FIELD_PREP(E1000E_RAH_HIGH, (uint32_t)mac[4] | (uint32_t)mac[5] << 8));
}

void e1000e_hw_mac(struct e1000e *e, const uint8_t mac[6])
{
	write_address(e, 0, mac);
	arrive(e);
}

void e1000e_hw_read_mac(struct e1000e *e)
{
	static const uint8_t none[6];
	uint32_t low = read_reg(e, E1000E_RAL(0)), high = read_reg(e, E1000E_RAH(0));

	for (unsigned i = 0; i < 4; i++)
		e->mac[i] = (uint8_t)(low >> 8 * i);
	e->mac[4] = (uint8_t)high;
	e->mac[5] = (uint8_t)(high >> 8);
	if ((high & E1000E_RAH_AV) != 0 && (e->mac[0] & ETHERNET_GROUP) == 0 && memcmp(e->mac, none, 6) != 0)
		return;
	ob_warn(e->ob, "%s: it has no address (RAL %#x, RAH %#x); one is made up", e->name, low, high);
	ob_net_made_mac(e->dev, e->mac);
	e->made_up_mac = true;
}

/* ---- filters ---- */

/* Bits 47:36 of an address, its last byte being the highest; the upper 7 choose the word. */
static unsigned hash(const uint8_t mac[6])
{
	return (unsigned)mac[5] << 4 | (unsigned)mac[4] >> 4;
}

static void write_rctl(struct e1000e *e, uint32_t clear, uint32_t set)
{
	e->rctl = (e->rctl & ~clear) | set;
	write_reg(e, E1000E_RCTL, e->rctl);
}

void e1000e_hw_filter(struct e1000e *e, const struct ob_net_filter *filter)
{
	bool all = filter->promiscuous || filter->unicast_count >= E1000E_RA_COUNT;
	uint32_t table[E1000E_MTA_WORDS] = {0};

	for (unsigned i = 0; i < filter->multicast_count; i++)
		table[hash(filter->multicast[i]) / 32] |= BIT(hash(filter->multicast[i]) % 32);
	/* More is let through first and less last, so that nothing is missed in between that is wanted before and after. */
	write_rctl(e, 0, E1000E_RCTL_UPE | E1000E_RCTL_MPE);
	for (unsigned i = 0; i < E1000E_MTA_WORDS; i++)
		write_reg(e, E1000E_MTA(i), table[i]);
	for (unsigned i = 1; i < E1000E_RA_COUNT; i++)
		write_address(e, i, i <= filter->unicast_count ? filter->unicast[i - 1] : NULL);
	write_rctl(e, E1000E_RCTL_UPE | E1000E_RCTL_MPE,
		   (all ? E1000E_RCTL_UPE : 0) | (filter->promiscuous || filter->all_multicast ? E1000E_RCTL_MPE : 0));
	arrive(e);
}

static uint32_t vlan_word(struct e1000e *e, unsigned index)
{
	const uint64_t *bits;

	ob_net_vlans(e->net, &bits);
	return (uint32_t)(bits[index / 2] >> 32 * (index % 2));
}

void e1000e_hw_vlan(struct e1000e *e, unsigned vid)
{
	const uint64_t *bits;

	write_reg(e, E1000E_VFTA(vid / 32), vlan_word(e, vid / 32));
	write_rctl(e, E1000E_RCTL_VFE, ob_net_vlans(e->net, &bits) > 0 ? E1000E_RCTL_VFE : 0);
	arrive(e);
}

/* ---- setting up ---- */

uint32_t e1000e_buffer_bytes(uint32_t room_bytes, uint32_t *rctl)
{
	uint32_t kib = MIN(room_bytes / E1000E_FLXBUF_BYTES, FIELD_MAX(E1000E_RCTL_FLXBUF));

	if (kib > 0) {
		*rctl = FIELD_PREP(E1000E_RCTL_FLXBUF, kib);
		return kib * E1000E_FLXBUF_BYTES;
	}
	*rctl = FIELD_PREP(E1000E_RCTL_BSIZE, room_bytes >= 512 ? E1000E_RCTL_BSIZE_512 : E1000E_RCTL_BSIZE_256);
	return room_bytes >= 512 ? 512 : 256;
}

void e1000e_hw_setup(struct e1000e *e)
{
	struct ob_net_filter filter = {.promiscuous = false};
	struct ob_net_info info = {.mtu = ETHERNET_MTU};

	memcpy(info.mac, e->mac, sizeof(info.mac));
	if (e->net != NULL) {
		ob_net_info(e->net, &info);
		ob_net_get_filter(e->net, &filter);
	}
	write_reg(e, E1000E_CTRL, (read_reg(e, E1000E_CTRL) & E1000E_CTRL_FD) | E1000E_CTRL_SLU | E1000E_CTRL_ASDE);
	write_reg(e, E1000E_CTRL_EXT, read_reg(e, E1000E_CTRL_EXT) | E1000E_CTRL_EXT_DRIVER);
	write_reg(e, E1000E_VET, ETHERNET_TYPE_VLAN);
	write_reg(e, E1000E_RFCTL, E1000E_RFCTL_EXSTEN | E1000E_RFCTL_NFSW_DIS | E1000E_RFCTL_NFSR_DIS);
	e->rctl = E1000E_RCTL_BAM | E1000E_RCTL_SECRC | (info.mtu > ETHERNET_MTU ? E1000E_RCTL_LPE : 0);
	e1000e_hw_mac(e, info.mac);
	e1000e_hw_filter(e, &filter);
	for (unsigned i = 0; i < E1000E_VFTA_WORDS; i++)
		write_reg(e, E1000E_VFTA(i), e->net != NULL ? vlan_word(e, i) : 0);
	if (e->net != NULL)
		e1000e_hw_vlan(e, 0);
	if (e->irq_kind == OB_IRQ_MSIX) {
		write_reg(e, E1000E_IVAR,
			  FIELD_PREP(E1000E_IVAR_RXQ0, E1000E_IVAR_VALID) |
				  FIELD_PREP(E1000E_IVAR_TXQ0, E1000E_IVAR_VALID) |
				  FIELD_PREP(E1000E_IVAR_OTHER, E1000E_IVAR_VALID | 1));
		write_reg(e, E1000E_EIAC, E1000E_CAUSE_RXQ0 | E1000E_CAUSE_TXQ0);
	}
}

void e1000e_hw_start(struct e1000e *e)
{
	const struct e1000e_queue *q = e->q;
	uint32_t size;

	/* Transmit, whose descriptors are written back at once: WTHRESH is 0. */
	write_reg(e, E1000E_TDBAL0, (uint32_t)q->tx_dma.iova.addr);
	write_reg(e, E1000E_TDBAH0, (uint32_t)(q->tx_dma.iova.addr >> 32));
	write_reg(e, E1000E_TDLEN0, q->tx_entries * E1000E_DESC_BYTES);
	write_reg(e, E1000E_TDH0, 0);
	write_reg(e, E1000E_TDT0, 0);
	write_reg(e, E1000E_TXDCTL0,
		  E1000E_XDCTL_GRAN | E1000E_TXDCTL_ONE | FIELD_PREP(E1000E_XDCTL_PTHRESH, 31) |
			  FIELD_PREP(E1000E_XDCTL_HTHRESH, 1));
	write_reg(e, E1000E_TIPG, E1000E_TIPG_DEFAULT);
	write_reg(e, E1000E_TCTL,
		  E1000E_TCTL_EN | E1000E_TCTL_PSP | E1000E_TCTL_MULR | FIELD_PREP(E1000E_TCTL_RRTHRESH, 1) |
			  FIELD_PREP(E1000E_TCTL_CT, TX_COLLISIONS) | FIELD_PREP(E1000E_TCTL_COLD, TX_DISTANCE));
	/* Receive: it is enabled with an empty ring, and waits for the tail to move. */
	write_reg(e, E1000E_RDBAL0, (uint32_t)q->rx_dma.iova.addr);
	write_reg(e, E1000E_RDBAH0, (uint32_t)(q->rx_dma.iova.addr >> 32));
	write_reg(e, E1000E_RDLEN0, q->rx_entries * E1000E_DESC_BYTES);
	write_reg(e, E1000E_RDH0, 0);
	write_reg(e, E1000E_RDT0, 0);
	write_reg(e, E1000E_RXDCTL0, E1000E_XDCTL_GRAN | FIELD_PREP(E1000E_XDCTL_WTHRESH, 1));
	e1000e_buffer_bytes(q->pool->room_bytes, &size);
	write_rctl(e, 0, size | E1000E_RCTL_EN);
}

/* ---- link and counters ---- */

void e1000e_hw_link(struct e1000e *e, struct ob_net_link *out)
{
	uint32_t status = read_reg(e, E1000E_STATUS), speed = FIELD_GET(E1000E_STATUS_SPEED, status);

	*out = (struct ob_net_link){.up = status != UINT32_MAX && (status & E1000E_STATUS_LU) != 0};
	if (out->up) {
		out->full_duplex = (status & E1000E_STATUS_FD) != 0;
		out->speed_mbps = speed == E1000E_SPEED_10 ? 10 : speed == E1000E_SPEED_100 ? 100 : 1000;
	}
	OB_WRITE_ONCE(e->link_up, out->up);
}

void e1000e_hw_count(struct e1000e *e)
{
	static const uint32_t errors[] = {E1000E_CRCERRS, E1000E_ALGNERRC, E1000E_RXERRC, E1000E_RLEC};
	struct ob_net_stats *stats = ob_net_counters(e->net);
	uint32_t missed = read_reg(e, E1000E_MPC);

	/* All ones: it is gone. */
	if (missed == UINT32_MAX)
		return;
	stats->rx_missed += missed;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		uint32_t value = read_reg(e, errors[i]);

		stats->rx_errors += value != UINT32_MAX ? value : 0;
	}
}
