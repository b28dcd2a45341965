/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel 82574: registers and descriptors, as far as a driver with one queue each way needs them.
 *
 * Bits only, by the names that they have in the Intel 82574 GbE Controller Family Datasheet. All registers have 32 bits and
 * are accessed as a whole; descriptors are two little-endian words of 64 bits.
 */
#ifndef OB_SPEC_E1000E_H
#define OB_SPEC_E1000E_H

#include <assert.h>
#include <stddef.h>

#include <outboard/types.h>

#include "base/bits.h"

/* ---- PCI ---- */
#define E1000E_PCI_VENDOR 0x8086u
#define E1000E_PCI_82574L 0x10d3u
#define E1000E_PCI_BAR    0 /* registers, 128 KiB */
#define E1000E_BAR_BYTES  0x20000u
#define E1000E_VECTORS    5u /* of MSI-X */

/* ---- general: clause 10.2.2 ---- */
#define E1000E_CTRL     0x00000 /* RW */
#define E1000E_STATUS   0x00008 /* RO */
#define E1000E_EECD     0x00010 /* RW */
#define E1000E_CTRL_EXT 0x00018 /* RW */
#define E1000E_VET      0x00038 /* RW: the type of a VLAN tag */

/* CTRL */
#define E1000E_CTRL_FD             BIT(0)  /* full duplex, where it is forced */
#define E1000E_CTRL_MASTER_DISABLE BIT(2)  /* no new requests on PCIe */
#define E1000E_CTRL_ASDE           BIT(5)  /* take the speed that the PHY found */
#define E1000E_CTRL_SLU            BIT(6)  /* set link up: let the PHY's link through */
#define E1000E_CTRL_RST            BIT(26) /* reset; clears itself */

/* STATUS */
#define E1000E_STATUS_FD     BIT(0)
#define E1000E_STATUS_LU     BIT(1) /* link up */
#define E1000E_STATUS_SPEED  BITS(7, 6)
#define E1000E_STATUS_MASTER BIT(19) /* requests may be under way; follows CTRL_MASTER_DISABLE */

#define E1000E_SPEED_10  0u /* in STATUS_SPEED; what is more is 1000 */
#define E1000E_SPEED_100 1u

#define E1000E_EECD_AUTO_READ BIT(9) /* the configuration has been read from the NVM, or there is none */

/* CTRL_EXT */
#define E1000E_CTRL_EXT_DRIVER BIT(28) /* a driver is there: for firmware */

/* ---- interrupts: clause 10.2.4 ---- */
#define E1000E_ICR  0x000c0 /* RW1C */
#define E1000E_IMS  0x000d0 /* RW1S */
#define E1000E_IMC  0x000d8 /* WO */
#define E1000E_EIAC 0x000dc /* RW: causes that a message of MSI-X clears */
#define E1000E_IVAR 0x000e4 /* RW: vectors of causes */

/* Causes: ICR, IMS, IMC, EIAC */
#define E1000E_CAUSE_TXDW  BIT(0)  /* a transmit descriptor was written back */
#define E1000E_CAUSE_LSC   BIT(2)  /* link status change */
#define E1000E_CAUSE_RXO   BIT(6)  /* receiver overrun */
#define E1000E_CAUSE_RXT0  BIT(7)  /* a receive descriptor was written back */
#define E1000E_CAUSE_RXQ0  BIT(20) /* with MSI-X, by queue */
#define E1000E_CAUSE_TXQ0  BIT(22)
#define E1000E_CAUSE_OTHER BIT(24) /* … and all others */
#define E1000E_CAUSE_ALL   0xffffffffu

/* IVAR */
#define E1000E_IVAR_RXQ0  BITS(3, 0)
#define E1000E_IVAR_TXQ0  BITS(11, 8)
#define E1000E_IVAR_OTHER BITS(19, 16)
#define E1000E_IVAR_VALID 8u /* in each of these: the vector in the low bits is meant */

/* ---- receive: clause 10.2.5 ---- */
#define E1000E_RCTL    0x00100 /* RW */
#define E1000E_RDBAL0  0x02800 /* RW */
#define E1000E_RDBAH0  0x02804
#define E1000E_RDLEN0  0x02808 /* bytes, a multiple of 128 */
#define E1000E_RDH0    0x02810
#define E1000E_RDT0    0x02818
#define E1000E_RXDCTL0 0x02828 /* RW */
#define E1000E_RDLEN1  0x02908
#define E1000E_RXCSUM  0x05000              /* RW */
#define E1000E_RFCTL   0x05008              /* RW */
#define E1000E_MTA(i)  (0x05200 + 4u * (i)) /* RW: multicast hash table, 128 words */
#define E1000E_RAL(i)  (0x05400 + 8u * (i)) /* RW: 16 addresses */
#define E1000E_RAH(i)  (0x05404 + 8u * (i))
#define E1000E_VFTA(i) (0x05600 + 4u * (i)) /* RW: a bit for each VLAN, 128 words */
#define E1000E_MRQC    0x05818              /* RW: 0: one queue, no RSS */

#define E1000E_MTA_WORDS  128u
#define E1000E_VFTA_WORDS 128u
#define E1000E_RA_COUNT   16u

/* RCTL */
#define E1000E_RCTL_EN     BIT(1)
#define E1000E_RCTL_UPE    BIT(3)       /* unicast promiscuous */
#define E1000E_RCTL_MPE    BIT(4)       /* multicast promiscuous */
#define E1000E_RCTL_LPE    BIT(5)       /* frames of more than 1522 bytes */
#define E1000E_RCTL_MO     BITS(13, 12) /* which bits of an address the multicast hash is: 0: 47:36 */
#define E1000E_RCTL_BAM    BIT(15)      /* broadcasts */
#define E1000E_RCTL_BSIZE  BITS(17, 16) /* of buffers: 2048, 1024, 512, 256; with BSEX -, 16384, 8192, 4096 */
#define E1000E_RCTL_VFE    BIT(18)      /* VLAN filter */
#define E1000E_RCTL_BSEX   BIT(25)
#define E1000E_RCTL_SECRC  BIT(26)      /* strip the frame check sequence */
#define E1000E_RCTL_FLXBUF BITS(30, 27) /* of buffers: in KiB, in place of BSIZE when it is not 0 */

#define E1000E_RCTL_BSIZE_256 3u
#define E1000E_RCTL_BSIZE_512 2u
#define E1000E_FLXBUF_BYTES   1024u

#define E1000E_RFCTL_NFSW_DIS BIT(6)
#define E1000E_RFCTL_NFSR_DIS BIT(7)
#define E1000E_RFCTL_EXSTEN   BIT(15) /* extended receive descriptors */

#define E1000E_RAH_HIGH BITS(15, 0)
#define E1000E_RAH_AV   BIT(31) /* address valid */

/* RXDCTL, TXDCTL */
#define E1000E_XDCTL_PTHRESH BITS(5, 0)
#define E1000E_XDCTL_HTHRESH BITS(13, 8)
#define E1000E_XDCTL_WTHRESH BITS(21, 16)
#define E1000E_TXDCTL_ONE    BIT(22) /* reserved, must be 1 */
#define E1000E_XDCTL_GRAN    BIT(24) /* thresholds count descriptors */

/* ---- transmit: clause 10.2.6 ---- */
#define E1000E_TCTL    0x00400 /* RW */
#define E1000E_TIPG    0x00410 /* RW */
#define E1000E_TDBAL0  0x03800 /* RW */
#define E1000E_TDBAH0  0x03804
#define E1000E_TDLEN0  0x03808 /* bytes, a multiple of 128 */
#define E1000E_TDH0    0x03810
#define E1000E_TDT0    0x03818
#define E1000E_TXDCTL0 0x03828 /* RW */
#define E1000E_TDLEN1  0x03908

/* TCTL */
#define E1000E_TCTL_EN       BIT(1)
#define E1000E_TCTL_PSP      BIT(3)       /* pad short frames */
#define E1000E_TCTL_CT       BITS(11, 4)  /* collisions before a frame is given up */
#define E1000E_TCTL_COLD     BITS(21, 12) /* collision distance, byte times */
#define E1000E_TCTL_MULR     BIT(28)      /* several requests at a time */
#define E1000E_TCTL_RRTHRESH BITS(30, 29)

#define E1000E_TIPG_DEFAULT 0x00602008u /* for copper at all speeds */
#define E1000E_FRAME_TX_MIN 17u         /* what TCTL_PSP may pad */
#define E1000E_TX_PART_MAX  16288u      /* bytes of one descriptor */

/* ---- statistics, cleared when read: clause 10.2.7 ---- */
#define E1000E_CRCERRS  0x04000
#define E1000E_ALGNERRC 0x04004
#define E1000E_RXERRC   0x0400c
#define E1000E_MPC      0x04010 /* missed: no room in its FIFO */
#define E1000E_RLEC     0x04040 /* too short or too long */

/* ---- descriptors ---- */
#define E1000E_RING_ALIGN  16u /* of its address */
#define E1000E_RING_STEP   8u  /* entries: lengths are multiples of 128 bytes */
#define E1000E_DESC_BYTES  16u
#define E1000E_ENTRIES_MAX 4096u

/* Extended receive descriptor: read by the device as an address and zero, written back whole. */
struct e1000e_rx_desc {
	ob_le64 address; /* written back: the RSS hash and its type */
	ob_le64 status;  /* 0 for the device; E1000E_RX_* when it is back */
};
static_assert(sizeof(struct e1000e_rx_desc) == E1000E_DESC_BYTES, "16 bytes");

#define E1000E_RX_DD     BIT64(0)  /* done */
#define E1000E_RX_EOP    BIT64(1)  /* the frame ends here */
#define E1000E_RX_CE     BIT64(24) /* errors, valid with EOP: CRC or alignment */
#define E1000E_RX_SE     BIT64(25) /* symbol */
#define E1000E_RX_SEQ    BIT64(26) /* sequence */
#define E1000E_RX_CXE    BIT64(28) /* carrier extension */
#define E1000E_RX_RXE    BIT64(31) /* data */
#define E1000E_RX_ERRORS (E1000E_RX_CE | E1000E_RX_SE | E1000E_RX_SEQ | E1000E_RX_CXE | E1000E_RX_RXE)
#define E1000E_RX_LENGTH BITS64(47, 32) /* bytes in this buffer */

/* Legacy transmit descriptor. */
struct e1000e_tx_desc {
	ob_le64 address;
	ob_le64 command; /* E1000E_TX_*; the device writes the status into it */
};
static_assert(sizeof(struct e1000e_tx_desc) == E1000E_DESC_BYTES, "16 bytes");

#define E1000E_TX_LENGTH BITS64(15, 0)
#define E1000E_TX_EOP    BIT64(24) /* the frame ends here */
#define E1000E_TX_IFCS   BIT64(25) /* make the frame check sequence; with EOP */
#define E1000E_TX_RS     BIT64(27) /* report status: DD, when it is done */
#define E1000E_TX_DD     BIT64(32) /* done */
#define E1000E_TX_EC     BIT64(33) /* given up after too many collisions */
#define E1000E_TX_LC     BIT64(34) /* … after a late one */

#endif
