/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVM Express 1.4: registers, queue entries, identify data, log pages, features, opcodes, status codes.
 *
 * Bits only, for drivers and models alike. Clauses are those of the NVM Express Base Specification, revision 1.4.
 * Offsets and sizes are in bytes. "0's based" fields hold one less than what they count.
 */
#ifndef OB_SPEC_NVME_H
#define OB_SPEC_NVME_H

#include <assert.h>
#include <stddef.h>

#include <outboard/types.h>

#include "base/bits.h"
#include "nvme_status.h"

/* ---- PCI: clause 2 ---- */
#define NVME_PCI_CLASS      0x010802 /* mass storage, non-volatile memory, NVM Express (§2.1.5) */
#define NVME_PCI_CLASS_MASK 0xffffff
#define NVME_PCI_BAR        0 /* registers: MLBAR and MUBAR (§2.1.10) */

/* ---- controller registers: clause 3.1 ---- */
#define NVME_CAP    0x00   /* RO 8B, §3.1.1 */
#define NVME_VS     0x08   /* RO 4B, §3.1.2 */
#define NVME_INTMS  0x0c   /* RW1S 4B, §3.1.3; not with MSI-X */
#define NVME_INTMC  0x10   /* RW1C 4B, §3.1.4; not with MSI-X */
#define NVME_CC     0x14   /* RW 4B, §3.1.5 */
#define NVME_CSTS   0x1c   /* RO 4B, §3.1.6; NSSRO is RW1C */
#define NVME_NSSR   0x20   /* RW 4B, §3.1.7; when CAP.NSSRS */
#define NVME_AQA    0x24   /* RW 4B, §3.1.8 */
#define NVME_ASQ    0x28   /* RW 8B, §3.1.9; page aligned */
#define NVME_ACQ    0x30   /* RW 8B, §3.1.10; page aligned */
#define NVME_CMBLOC 0x38   /* RO 4B, §3.1.11; when CAP.CMBS */
#define NVME_CMBSZ  0x3c   /* RO 4B, §3.1.12 */
#define NVME_BPINFO 0x40   /* RO 4B, §3.1.13; when CAP.BPS */
#define NVME_BPRSEL 0x44   /* RW 4B, §3.1.14 */
#define NVME_BPMBL  0x48   /* RW 8B, §3.1.15 */
#define NVME_CMBMSC 0x50   /* RW 8B, §3.1.16 */
#define NVME_CMBSTS 0x58   /* RO 4B, §3.1.17 */
#define NVME_PMRCAP 0xe00  /* RO 4B, §3.1.18; when CAP.PMRS */
#define NVME_PMRCTL 0xe04  /* RW 4B, §3.1.19 */
#define NVME_PMRSTS 0xe08  /* RO 4B, §3.1.20 */
#define NVME_DBS    0x1000 /* doorbells, §3.1.24 and §3.1.25 */

/* Submission queue tail and completion queue head doorbells, 4B, write only; @dstrd is CAP.DSTRD. */
#define NVME_SQTDBL(qid, dstrd) (NVME_DBS + (2u * (qid)) * (4u << (dstrd)))
#define NVME_CQHDBL(qid, dstrd) (NVME_DBS + (2u * (qid) + 1u) * (4u << (dstrd)))

/* CAP */
#define NVME_CAP_MQES    BITS64(15, 0)  /* queue entries, 0's based, of I/O queues */
#define NVME_CAP_CQR     BIT64(16)      /* queues must be physically contiguous */
#define NVME_CAP_AMS     BITS64(18, 17) /* arbitration beyond round robin: bit 0 weighted, bit 1 vendor */
#define NVME_CAP_TO      BITS64(31, 24) /* worst time for CSTS.RDY to follow CC.EN, in 500 ms */
#define NVME_CAP_DSTRD   BITS64(35, 32) /* doorbell stride: 4 << DSTRD bytes */
#define NVME_CAP_NSSRS   BIT64(36)      /* NVM subsystem reset */
#define NVME_CAP_CSS     BITS64(44, 37) /* command sets */
#define NVME_CAP_CSS_NVM 0x01           /* in CSS: the NVM command set */
#define NVME_CAP_BPS     BIT64(45)      /* boot partitions */
#define NVME_CAP_MPSMIN  BITS64(51, 48) /* smallest memory page: 4096 << MPSMIN */
#define NVME_CAP_MPSMAX  BITS64(55, 52)
#define NVME_CAP_PMRS    BIT64(56) /* persistent memory region */
#define NVME_CAP_CMBS    BIT64(57) /* controller memory buffer */

#define NVME_CAP_TO_UNIT_NS 500000000ull

/* VS */
#define NVME_VS_MJR           BITS(31, 16)
#define NVME_VS_MNR           BITS(15, 8)
#define NVME_VS_TER           BITS(7, 0)
#define NVME_VERSION(j, n, t) ((uint32_t)(j) << 16 | (uint32_t)(n) << 8 | (uint32_t)(t))

/* CC */
#define NVME_CC_EN     BIT(0)
#define NVME_CC_CSS    BITS(6, 4)   /* 0: NVM command set */
#define NVME_CC_MPS    BITS(10, 7)  /* memory page: 4096 << MPS */
#define NVME_CC_AMS    BITS(13, 11) /* 0: round robin */
#define NVME_CC_SHN    BITS(15, 14)
#define NVME_CC_IOSQES BITS(19, 16) /* log2 of the entry size */
#define NVME_CC_IOCQES BITS(23, 20)

#define NVME_CC_SHN_NONE   0
#define NVME_CC_SHN_NORMAL 1
#define NVME_CC_SHN_ABRUPT 2

/* CSTS */
#define NVME_CSTS_RDY   BIT(0)
#define NVME_CSTS_CFS   BIT(1) /* controller fatal status */
#define NVME_CSTS_SHST  BITS(3, 2)
#define NVME_CSTS_NSSRO BIT(4)
#define NVME_CSTS_PP    BIT(5) /* processing paused */

#define NVME_CSTS_SHST_NORMAL   0 /* no shutdown was requested */
#define NVME_CSTS_SHST_RUNNING  1
#define NVME_CSTS_SHST_COMPLETE 2

#define NVME_NSSR_RESET 0x4e564d65 /* "NVMe" (§3.1.7) */

/* AQA: sizes, 0's based, 2 to 4096 */
#define NVME_AQA_ASQS BITS(11, 0)
#define NVME_AQA_ACQS BITS(27, 16)

/* CMBLOC, CMBSZ, CMBMSC, CMBSTS */
#define NVME_CMBLOC_BIR    BITS(2, 0)
#define NVME_CMBLOC_CQMMS  BIT(3)
#define NVME_CMBLOC_CQPDS  BIT(4)
#define NVME_CMBLOC_CDPMLS BIT(5)
#define NVME_CMBLOC_CDPCIL BIT(6)
#define NVME_CMBLOC_CDMMMS BIT(7)
#define NVME_CMBLOC_CQDA   BIT(8)
#define NVME_CMBLOC_OFST   BITS(31, 12) /* in units of CMBSZ.SZU */
#define NVME_CMBSZ_SQS     BIT(0)
#define NVME_CMBSZ_CQS     BIT(1)
#define NVME_CMBSZ_LISTS   BIT(2)
#define NVME_CMBSZ_RDS     BIT(3)
#define NVME_CMBSZ_WDS     BIT(4)
#define NVME_CMBSZ_SZU     BITS(11, 8) /* 4 KiB << 4 * SZU */
#define NVME_CMBSZ_SZ      BITS(31, 12)
#define NVME_CMBMSC_CRE    BIT64(0)
#define NVME_CMBMSC_CMSE   BIT64(1)
#define NVME_CMBMSC_CBA    BITS64(63, 12)
#define NVME_CMBSTS_CBAI   BIT(0)

/* BPINFO, BPRSEL */
#define NVME_BPINFO_BPSZ  BITS(14, 0) /* of one partition, in 128 KiB */
#define NVME_BPINFO_BRS   BITS(25, 24)
#define NVME_BPINFO_ABPID BIT(31)
#define NVME_BPRSEL_BPRSZ BITS(9, 0)   /* in 4 KiB */
#define NVME_BPRSEL_BPROF BITS(29, 10) /* in 4 KiB */
#define NVME_BPRSEL_BPID  BIT(31)

/* ---- submission queue entry: §4.2 ---- */
struct nvme_sgl { /* §4.4 */
	ob_le64 addr;
	ob_le32 length;
	uint8_t rsvd12[3];
	uint8_t type; /* NVME_SGL_TYPE, NVME_SGL_SUBTYPE */
};
static_assert(sizeof(struct nvme_sgl) == 16, "SGL descriptor");
static_assert(offsetof(struct nvme_sgl, type) == 15, "SGL identifier");

#define NVME_SGL_TYPE    BITS(7, 4)
#define NVME_SGL_SUBTYPE BITS(3, 0)

#define NVME_SGL_DATA_BLOCK   0x0
#define NVME_SGL_BIT_BUCKET   0x1
#define NVME_SGL_SEGMENT      0x2
#define NVME_SGL_LAST_SEGMENT 0x3
#define NVME_SGL_KEYED        0x4
#define NVME_SGL_TRANSPORT    0x5

#define NVME_SGL_SUBTYPE_ADDRESS 0x0
#define NVME_SGL_SUBTYPE_OFFSET  0x1

struct nvme_sqe {
	ob_le32 cdw0; /* NVME_CDW0_* */
	ob_le32 nsid;
	ob_le32 cdw2;
	ob_le32 cdw3;
	ob_le64 mptr;
	union {
		struct {
			ob_le64 prp1;
			ob_le64 prp2;
		};
		struct nvme_sgl sgl1;
	};
	ob_le32 cdw10;
	ob_le32 cdw11;
	ob_le32 cdw12;
	ob_le32 cdw13;
	ob_le32 cdw14;
	ob_le32 cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "SQE");
static_assert(offsetof(struct nvme_sqe, mptr) == 16, "SQE MPTR");
static_assert(offsetof(struct nvme_sqe, prp1) == 24, "SQE DPTR");
static_assert(offsetof(struct nvme_sqe, sgl1) == 24, "SQE SGL1");
static_assert(offsetof(struct nvme_sqe, cdw10) == 40, "SQE CDW10");

#define NVME_SQE_SHIFT 6 /* log2 of the size: CC.IOSQES */
#define NVME_CQE_SHIFT 4

#define NVME_CDW0_OPC  BITS(7, 0)
#define NVME_CDW0_FUSE BITS(9, 8) /* 0 normal, 1 first, 2 second */
#define NVME_CDW0_PSDT BITS(15, 14)
#define NVME_CDW0_CID  BITS(31, 16)

#define NVME_PSDT_PRP     0
#define NVME_PSDT_SGL     1 /* MPTR is a buffer's address */
#define NVME_PSDT_SGL_SEG 2 /* MPTR is an SGL segment's */

#define NVME_NSID_ALL 0xffffffffu

/* ---- completion queue entry: §4.6 ---- */
struct nvme_cqe {
	ob_le32 dw0;
	ob_le32 dw1;
	ob_le16 sqhd; /* head of the submission queue when this was made */
	ob_le16 sqid;
	ob_le16 cid;
	ob_le16 status; /* NVME_CQE_* */
};
static_assert(sizeof(struct nvme_cqe) == 16, "CQE");
static_assert(offsetof(struct nvme_cqe, sqhd) == 8, "CQE SQHD");
static_assert(offsetof(struct nvme_cqe, status) == 14, "CQE status");

#define NVME_CQE_P   BIT(0) /* phase tag */
#define NVME_CQE_SC  BITS(8, 1)
#define NVME_CQE_SCT BITS(11, 9)
#define NVME_CQE_CRD BITS(13, 12) /* command retry delay: 0 none, n: CRDTn */
#define NVME_CQE_M   BIT(14)      /* more in the error log */
#define NVME_CQE_DNR BIT(15)      /* do not retry */

/* A status as it is written in text and in public API: SCT << 8 | SC. */
#define NVME_STATUS(sct, sc)   ((uint16_t)((sct) << 8 | (sc)))
#define NVME_CQE_STATUS(field) ((uint16_t)(((field) >> 1) & 0x7ff))

/* ---- opcodes: clause 5 (admin), clause 6 (NVM command set) ---- */
#define NVME_ADMIN_DELETE_SQ         0x00
#define NVME_ADMIN_CREATE_SQ         0x01
#define NVME_ADMIN_GET_LOG_PAGE      0x02
#define NVME_ADMIN_DELETE_CQ         0x04
#define NVME_ADMIN_CREATE_CQ         0x05
#define NVME_ADMIN_IDENTIFY          0x06
#define NVME_ADMIN_ABORT             0x08
#define NVME_ADMIN_SET_FEATURES      0x09
#define NVME_ADMIN_GET_FEATURES      0x0a
#define NVME_ADMIN_ASYNC_EVENT       0x0c
#define NVME_ADMIN_NAMESPACE_MANAGE  0x0d
#define NVME_ADMIN_FIRMWARE_COMMIT   0x10
#define NVME_ADMIN_FIRMWARE_DOWNLOAD 0x11
#define NVME_ADMIN_SELF_TEST         0x14
#define NVME_ADMIN_NAMESPACE_ATTACH  0x15
#define NVME_ADMIN_KEEP_ALIVE        0x18
#define NVME_ADMIN_DIRECTIVE_SEND    0x19
#define NVME_ADMIN_DIRECTIVE_RECEIVE 0x1a
#define NVME_ADMIN_VIRTUALIZATION    0x1c
#define NVME_ADMIN_MI_SEND           0x1d
#define NVME_ADMIN_MI_RECEIVE        0x1e
#define NVME_ADMIN_DOORBELL_BUFFER   0x7c
#define NVME_ADMIN_FORMAT            0x80
#define NVME_ADMIN_SECURITY_SEND     0x81
#define NVME_ADMIN_SECURITY_RECEIVE  0x82
#define NVME_ADMIN_SANITIZE          0x84
#define NVME_ADMIN_GET_LBA_STATUS    0x86

#define NVME_CMD_FLUSH               0x00 /* §6.8 */
#define NVME_CMD_WRITE               0x01 /* §6.15 */
#define NVME_CMD_READ                0x02 /* §6.9 */
#define NVME_CMD_WRITE_UNCORRECTABLE 0x04 /* §6.16 */
#define NVME_CMD_COMPARE             0x05 /* §6.6 */
#define NVME_CMD_WRITE_ZEROES        0x08 /* §6.17 */
#define NVME_CMD_DSM                 0x09 /* §6.7 */
#define NVME_CMD_VERIFY              0x0c /* §6.14 */
#define NVME_CMD_RESERVE_REGISTER    0x0d
#define NVME_CMD_RESERVE_REPORT      0x0e
#define NVME_CMD_RESERVE_ACQUIRE     0x11
#define NVME_CMD_RESERVE_RELEASE     0x15

/* read, write, compare, write zeroes: CDW10 and 11 are the first LBA */
#define NVME_RW_NLB    BITS(15, 0)  /* CDW12: blocks, 0's based */
#define NVME_RW_DTYPE  BITS(23, 20) /* CDW12, write: directive type */
#define NVME_RW_DEAC   BIT(25)      /* CDW12, write zeroes: deallocate */
#define NVME_RW_PRINFO BITS(29, 26) /* CDW12 */
#define NVME_RW_FUA    BIT(30)      /* CDW12 */
#define NVME_RW_LR     BIT(31)      /* CDW12: limited retry */

/* dataset management: §6.7 */
#define NVME_DSM_NR        BITS(7, 0) /* CDW10: ranges, 0's based */
#define NVME_DSM_IDR       BIT(0)     /* CDW11: integral dataset for read */
#define NVME_DSM_IDW       BIT(1)     /* CDW11: … for write */
#define NVME_DSM_AD        BIT(2)     /* CDW11: deallocate */
#define NVME_DSM_RANGE_MAX 256

struct nvme_dsm_range {
	ob_le32 attributes;
	ob_le32 length; /* blocks */
	ob_le64 slba;
};
static_assert(sizeof(struct nvme_dsm_range) == 16, "DSM range");

/* create and delete queues: §5.3 to §5.6 */
#define NVME_QUEUE_QID   BITS(15, 0)  /* CDW10 */
#define NVME_QUEUE_QSIZE BITS(31, 16) /* CDW10: entries, 0's based */
#define NVME_CQ_PC       BIT(0)       /* CDW11: physically contiguous */
#define NVME_CQ_IEN      BIT(1)       /* CDW11: interrupts enabled */
#define NVME_CQ_IV       BITS(31, 16) /* CDW11: vector */
#define NVME_SQ_PC       BIT(0)       /* CDW11 */
#define NVME_SQ_QPRIO    BITS(2, 1)   /* CDW11 */
#define NVME_SQ_CQID     BITS(31, 16) /* CDW11 */

/* abort: §5.1 */
#define NVME_ABORT_SQID        BITS(15, 0)  /* CDW10 */
#define NVME_ABORT_CID         BITS(31, 16) /* CDW10 */
#define NVME_ABORT_NOT_ABORTED BIT(0)       /* completion DW0 */

/* identify: §5.15 */
#define NVME_IDENTIFY_CNS        BITS(7, 0)   /* CDW10 */
#define NVME_IDENTIFY_CNTID      BITS(31, 16) /* CDW10 */
#define NVME_IDENTIFY_DATA_BYTES 4096

#define NVME_CNS_NAMESPACE             0x00
#define NVME_CNS_CONTROLLER            0x01
#define NVME_CNS_ACTIVE_NAMESPACES     0x02 /* ids greater than CDW1.NSID */
#define NVME_CNS_NAMESPACE_DESCRIPTORS 0x03
#define NVME_CNS_NVM_SETS              0x04
#define NVME_CNS_ALLOCATED_NAMESPACES  0x10
#define NVME_CNS_ALLOCATED_NAMESPACE   0x11
#define NVME_CNS_ATTACHED_CONTROLLERS  0x12
#define NVME_CNS_CONTROLLERS           0x13
#define NVME_CNS_PRIMARY_CAPABILITIES  0x14
#define NVME_CNS_SECONDARY_CONTROLLERS 0x15

#define NVME_NAMESPACE_LIST_MAX 1024 /* ids in one list, ascending, ended by 0 (§4.9) */

struct nvme_namespace_list {
	ob_le32 nsid[NVME_NAMESPACE_LIST_MAX];
};
static_assert(sizeof(struct nvme_namespace_list) == 4096, "namespace list");

struct nvme_controller_list { /* §4.10 */
	ob_le16 count;
	ob_le16 id[2047];
};
static_assert(sizeof(struct nvme_controller_list) == 4096, "controller list");

struct nvme_power_state { /* figure 248 */
	ob_le16 mp;       /* maximum power, in 0.01 W unless MXPS */
	uint8_t rsvd2;
	uint8_t flags; /* bit 0 MXPS, bit 1 NOPS: non-operational */
	ob_le32 enlat; /* us */
	ob_le32 exlat; /* us */
	uint8_t rrt, rrl, rwt, rwl;
	ob_le16 idlp;
	uint8_t ips, rsvd19;
	ob_le16 actp;
	uint8_t apw_aps;
	uint8_t rsvd23[9];
};
static_assert(sizeof(struct nvme_power_state) == 32, "power state descriptor");

struct nvme_identify_controller { /* figure 247 */
	ob_le16 vid, ssvid;
	uint8_t sn[20], mn[40], fr[8]; /* ASCII, padded with spaces */
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts;   /* transfer: 2^n of the smallest memory page; 0 no limit */
	ob_le16 cntlid; /* offset 78 */
	ob_le32 ver;    /* as VS; 0 before 1.2 */
	ob_le32 rtd3r;  /* us */
	ob_le32 rtd3e;  /* us: how long a shutdown may take */
	ob_le32 oaes;   /* NVME_OAES_* */
	ob_le32 ctratt; /* offset 96 */
	ob_le16 rrls;   /* offset 100 */
	uint8_t rsvd102[9];
	uint8_t cntrltype; /* 0 not reported, 1 I/O, 2 discovery, 3 administrative */
	uint8_t fguid[16];
	ob_le16 crdt[3]; /* command retry delays, in 100 ms */
	uint8_t rsvd134[122];
	ob_le16 oacs; /* offset 256, NVME_OACS_* */
	uint8_t acl;  /* abort commands outstanding, 0's based */
	uint8_t aerl; /* async event requests outstanding, 0's based */
	uint8_t frmw; /* NVME_FRMW_* */
	uint8_t lpa;  /* NVME_LPA_* */
	uint8_t elpe; /* error log entries, 0's based */
	uint8_t npss; /* power states, 0's based */
	uint8_t avscc, apsta;
	ob_le16 wctemp, cctemp; /* K */
	ob_le16 mtfa;           /* firmware activation without reset: at most, in 100 ms; 0 undefined */
	ob_le32 hmpre, hmmin;   /* offset 272; host memory buffer, in 4 KiB */
	ob_le64 tnvmcap[2], unvmcap[2];
	ob_le32 rpmbs;
	ob_le16 edstt;
	uint8_t dsto;
	uint8_t fwug; /* firmware pieces: granularity and alignment, in 4 KiB; 0 unknown, 255 none */
	ob_le16 kas;  /* offset 320 */
	ob_le16 hctma, mntmt, mxtmt;
	ob_le32 sanicap, hmminds;
	ob_le16 hmmaxd, nsetidmax, endgidmax;
	uint8_t anatt, anacap;
	ob_le32 anagrpmax, nanagrpid;
	ob_le32 pels; /* offset 352 */
	uint8_t rsvd356[156];
	uint8_t sqes;   /* offset 512: NVME_QES_* */
	uint8_t cqes;   /* NVME_QES_* */
	ob_le16 maxcmd; /* for fabrics */
	ob_le32 nn;     /* the largest valid namespace id */
	ob_le16 oncs;   /* offset 520, NVME_ONCS_* */
	ob_le16 fuses;  /* bit 0: compare and write */
	uint8_t fna;    /* format attributes */
	uint8_t vwc;    /* NVME_VWC_* */
	ob_le16 awun;   /* atomic write, blocks, 0's based */
	ob_le16 awupf;  /* … across a power failure */
	uint8_t nvscc;
	uint8_t nwpc; /* offset 531: namespace write protection */
	ob_le16 acwu;
	uint8_t rsvd534[2];
	ob_le32 sgls; /* offset 536, NVME_SGLS_* */
	ob_le32 mnan; /* most namespaces at a time; 0: nn */
	uint8_t rsvd544[224];
	uint8_t subnqn[256]; /* offset 768 */
	uint8_t rsvd1024[768];
	uint8_t fabrics[256]; /* offset 1792 */
	struct nvme_power_state psd[32];
	uint8_t vendor[1024]; /* offset 3072 */
};
static_assert(sizeof(struct nvme_identify_controller) == 4096, "identify controller");
static_assert(offsetof(struct nvme_identify_controller, rab) == 72, "RAB");
static_assert(offsetof(struct nvme_identify_controller, mdts) == 77, "MDTS");
static_assert(offsetof(struct nvme_identify_controller, ver) == 80, "VER");
static_assert(offsetof(struct nvme_identify_controller, oaes) == 92, "OAES");
static_assert(offsetof(struct nvme_identify_controller, cntrltype) == 111, "CNTRLTYPE");
static_assert(offsetof(struct nvme_identify_controller, crdt) == 128, "CRDT1");
static_assert(offsetof(struct nvme_identify_controller, oacs) == 256, "OACS");
static_assert(offsetof(struct nvme_identify_controller, frmw) == 260, "FRMW");
static_assert(offsetof(struct nvme_identify_controller, mtfa) == 270, "MTFA");
static_assert(offsetof(struct nvme_identify_controller, tnvmcap) == 280, "TNVMCAP");
static_assert(offsetof(struct nvme_identify_controller, rpmbs) == 312, "RPMBS");
static_assert(offsetof(struct nvme_identify_controller, fwug) == 319, "FWUG");
static_assert(offsetof(struct nvme_identify_controller, sanicap) == 328, "SANICAP");
static_assert(offsetof(struct nvme_identify_controller, pels) == 352, "PELS");
static_assert(offsetof(struct nvme_identify_controller, sqes) == 512, "SQES");
static_assert(offsetof(struct nvme_identify_controller, nn) == 516, "NN");
static_assert(offsetof(struct nvme_identify_controller, oncs) == 520, "ONCS");
static_assert(offsetof(struct nvme_identify_controller, vwc) == 525, "VWC");
static_assert(offsetof(struct nvme_identify_controller, nwpc) == 531, "NWPC");
static_assert(offsetof(struct nvme_identify_controller, sgls) == 536, "SGLS");
static_assert(offsetof(struct nvme_identify_controller, subnqn) == 768, "SUBNQN");
static_assert(offsetof(struct nvme_identify_controller, psd) == 2048, "PSD");
static_assert(offsetof(struct nvme_identify_controller, vendor) == 3072, "vendor specific");

#define NVME_MDTS_MAX 20 /* 4 GiB of 4 KiB pages: what is more makes no sense */

#define NVME_OAES_NAMESPACE        BIT(8)
#define NVME_OAES_FIRMWARE         BIT(9)
#define NVME_OAES_ANA              BIT(11)
#define NVME_OAES_PREDICTABLE      BIT(12)
#define NVME_OAES_LBA_STATUS       BIT(13)
#define NVME_OAES_ENDURANCE        BIT(14)
#define NVME_OACS_SECURITY         BIT(0)
#define NVME_OACS_FORMAT           BIT(1)
#define NVME_OACS_FIRMWARE         BIT(2)
#define NVME_OACS_NAMESPACE        BIT(3) /* management and attachment */
#define NVME_OACS_SELF_TEST        BIT(4)
#define NVME_OACS_DIRECTIVES       BIT(5)
#define NVME_OACS_MI               BIT(6)
#define NVME_OACS_VIRTUALIZATION   BIT(7)
#define NVME_OACS_DOORBELL_BUFFER  BIT(8)
#define NVME_OACS_GET_LBA_STATUS   BIT(9)
#define NVME_FRMW_SLOT1_READ_ONLY  BIT(0)
#define NVME_FRMW_SLOTS            BITS(3, 1) /* 1 to 7 */
#define NVME_FRMW_NO_RESET         BIT(4)     /* activation without a reset */
#define NVME_LPA_SMART_NAMESPACE   BIT(0)
#define NVME_LPA_EFFECTS           BIT(1)
#define NVME_LPA_EXTENDED          BIT(2) /* NUMDU, offsets */
#define NVME_LPA_TELEMETRY         BIT(3)
#define NVME_LPA_PERSISTENT_EVENT  BIT(4)
#define NVME_QES_MIN               BITS(3, 0) /* required entry size, log2 */
#define NVME_QES_MAX               BITS(7, 4)
#define NVME_ONCS_COMPARE          BIT(0)
#define NVME_ONCS_WRITE_UNCORRECT  BIT(1)
#define NVME_ONCS_DSM              BIT(2)
#define NVME_ONCS_WRITE_ZEROES     BIT(3)
#define NVME_ONCS_SAVE_SELECT      BIT(4)
#define NVME_ONCS_RESERVATIONS     BIT(5)
#define NVME_ONCS_TIMESTAMP        BIT(6)
#define NVME_ONCS_VERIFY           BIT(7)
#define NVME_VWC_PRESENT           BIT(0)
#define NVME_VWC_FLUSH_ALL         BITS(2, 1) /* flush with NSID ffffffff: 2 refused, 3 flushes all */
#define NVME_SGLS_SUPPORT          BITS(1, 0)
#define NVME_SGLS_KEYED            BIT(2)
#define NVME_SGLS_BIT_BUCKET       BIT(16)
#define NVME_SGLS_METADATA_ALIGNED BIT(17)
#define NVME_SGLS_LONGER           BIT(18) /* an SGL may be longer than the transfer */
#define NVME_SGLS_MPTR             BIT(19)
#define NVME_SGLS_OFFSET           BIT(20)
#define NVME_SGLS_TRANSPORT        BIT(21)

#define NVME_SGLS_NONE  0 /* of NVME_SGLS_SUPPORT */
#define NVME_SGLS_ANY   1 /* no alignment or granularity */
#define NVME_SGLS_DWORD 2 /* data blocks are dword aligned and a multiple of dwords */

struct nvme_identify_namespace { /* figure 245 */
	ob_le64 nsze;            /* blocks; 0: the namespace is not active */
	ob_le64 ncap, nuse;
	uint8_t nsfeat; /* NVME_NSFEAT_* */
	uint8_t nlbaf;  /* formats, 0's based, at most 16 */
	uint8_t flbas;  /* NVME_FLBAS_* */
	uint8_t mc;     /* metadata: bit 0 extended, bit 1 separate */
	uint8_t dpc;    /* protection capabilities */
	uint8_t dps;    /* NVME_DPS_* */
	uint8_t nmic;   /* bit 0: may be shared */
	uint8_t rescap, fpi;
	uint8_t dlfeat; /* offset 33, NVME_DLFEAT_* */
	ob_le16 nawun, nawupf, nacwu, nabsn, nabo, nabspf;
	ob_le16 noiob; /* offset 46: optimal boundary, blocks; 0 none */
	ob_le64 nvmcap[2];
	ob_le16 npwg;             /* offset 64: preferred write granularity, blocks, 0's based; with OPTPERF */
	ob_le16 npwa, npdg, npda; /* … alignment; deallocate granularity, alignment */
	ob_le16 nows;             /* optimal write size, blocks, 0's based */
	uint8_t rsvd74[18];
	ob_le32 anagrpid; /* offset 92 */
	uint8_t rsvd96[3];
	uint8_t nsattr; /* offset 99, NVME_NSATTR_* */
	ob_le16 nvmsetid, endgid;
	uint8_t nguid[16], eui64[8]; /* big endian; all zero: none */
	ob_le32 lbaf[16];            /* offset 128, NVME_LBAF_* */
	uint8_t rsvd192[192];
	uint8_t vendor[3712]; /* offset 384 */
};
static_assert(sizeof(struct nvme_identify_namespace) == 4096, "identify namespace");
static_assert(offsetof(struct nvme_identify_namespace, flbas) == 26, "FLBAS");
static_assert(offsetof(struct nvme_identify_namespace, dlfeat) == 33, "DLFEAT");
static_assert(offsetof(struct nvme_identify_namespace, noiob) == 46, "NOIOB");
static_assert(offsetof(struct nvme_identify_namespace, npwg) == 64, "NPWG");
static_assert(offsetof(struct nvme_identify_namespace, nows) == 72, "NOWS");
static_assert(offsetof(struct nvme_identify_namespace, anagrpid) == 92, "ANAGRPID");
static_assert(offsetof(struct nvme_identify_namespace, nsattr) == 99, "NSATTR");
static_assert(offsetof(struct nvme_identify_namespace, nguid) == 104, "NGUID");
static_assert(offsetof(struct nvme_identify_namespace, eui64) == 120, "EUI64");
static_assert(offsetof(struct nvme_identify_namespace, lbaf) == 128, "LBAF0");
static_assert(offsetof(struct nvme_identify_namespace, vendor) == 384, "vendor specific");

#define NVME_NSFEAT_THIN           BIT(0)
#define NVME_NSFEAT_ATOMIC         BIT(1) /* NAWUN, NAWUPF, NACWU hold */
#define NVME_NSFEAT_DEALLOC_ERROR  BIT(2)
#define NVME_NSFEAT_UID_REUSE      BIT(3)
#define NVME_NSFEAT_OPTPERF        BIT(4) /* NPWG to NOWS hold */
#define NVME_FLBAS_FORMAT          BITS(3, 0)
#define NVME_FLBAS_EXTENDED        BIT(4) /* metadata at the end of each block */
#define NVME_DPS_TYPE              BITS(2, 0)
#define NVME_DPS_FIRST             BIT(3)
#define NVME_DLFEAT_READ           BITS(2, 0) /* deallocated blocks read: 0 unknown, 1 zeroes, 2 ones */
#define NVME_DLFEAT_READ_ZEROES    1
#define NVME_DLFEAT_ZEROES_DEALLOC BIT(3) /* write zeroes honours DEAC */
#define NVME_DLFEAT_GUARD          BIT(4)
#define NVME_NSATTR_PROTECTED      BIT(0)
#define NVME_LBAF_MS               BITS(15, 0)  /* metadata bytes */
#define NVME_LBAF_LBADS            BITS(23, 16) /* block size, log2; at least 9 */
#define NVME_LBAF_RP               BITS(25, 24) /* relative performance, 0 best */
#define NVME_LBAF_MAX              16

struct nvme_namespace_descriptor { /* figure 249; they follow each other and end with NIDL 0 */
	uint8_t nidt;
	uint8_t nidl;
	uint8_t rsvd2[2];
};
static_assert(sizeof(struct nvme_namespace_descriptor) == 4, "namespace identification descriptor");

#define NVME_NIDT_EUI64 1
#define NVME_NIDT_NGUID 2
#define NVME_NIDT_UUID  3

/* namespace management and attachment: §5.20, §5.19 */
#define NVME_NS_SEL    BITS(3, 0) /* CDW10 */
#define NVME_NS_CREATE 0          /* of management; completion DW0: the id */
#define NVME_NS_DELETE 1
#define NVME_NS_ATTACH 0 /* of attachment */
#define NVME_NS_DETACH 1

/* format NVM: §5.23 */
#define NVME_FORMAT_LBAF BITS(3, 0)
#define NVME_FORMAT_MSET BIT(4)
#define NVME_FORMAT_PI   BITS(7, 5)
#define NVME_FORMAT_PIL  BIT(8)
#define NVME_FORMAT_SES  BITS(11, 9)

/* ---- features: §5.14, §5.21 ---- */
#define NVME_FEATURE_FID  BITS(7, 0)  /* CDW10 */
#define NVME_FEATURE_SEL  BITS(10, 8) /* CDW10, get: 0 current, 1 default, 2 saved, 3 capabilities */
#define NVME_FEATURE_SAVE BIT(31)     /* CDW10, set */

#define NVME_FEATURE_ARBITRATION           0x01
#define NVME_FEATURE_POWER                 0x02
#define NVME_FEATURE_LBA_RANGE             0x03
#define NVME_FEATURE_TEMPERATURE           0x04
#define NVME_FEATURE_ERROR_RECOVERY        0x05
#define NVME_FEATURE_VOLATILE_WRITE_CACHE  0x06
#define NVME_FEATURE_QUEUE_COUNT           0x07
#define NVME_FEATURE_INTERRUPT_COALESCING  0x08
#define NVME_FEATURE_INTERRUPT_VECTOR      0x09
#define NVME_FEATURE_WRITE_ATOMICITY       0x0a
#define NVME_FEATURE_ASYNC_EVENT           0x0b
#define NVME_FEATURE_POWER_TRANSITION      0x0c
#define NVME_FEATURE_HOST_MEMORY_BUFFER    0x0d
#define NVME_FEATURE_TIMESTAMP             0x0e
#define NVME_FEATURE_KEEP_ALIVE            0x0f
#define NVME_FEATURE_THERMAL               0x10
#define NVME_FEATURE_NON_OPERATIONAL_POWER 0x11
#define NVME_FEATURE_READ_RECOVERY         0x12
#define NVME_FEATURE_PREDICTABLE_CONFIG    0x13
#define NVME_FEATURE_PREDICTABLE_WINDOW    0x14
#define NVME_FEATURE_LBA_STATUS_INTERVAL   0x15
#define NVME_FEATURE_HOST_BEHAVIOR         0x16
#define NVME_FEATURE_SANITIZE              0x17
#define NVME_FEATURE_ENDURANCE_EVENT       0x18
#define NVME_FEATURE_SOFTWARE_PROGRESS     0x80
#define NVME_FEATURE_HOST_ID               0x81
#define NVME_FEATURE_RESERVATION_MASK      0x82
#define NVME_FEATURE_RESERVATION_PERSIST   0x83
#define NVME_FEATURE_WRITE_PROTECT         0x84

#define NVME_VWC_ENABLE        BIT(0)      /* feature 06h, CDW11 */
#define NVME_QUEUE_COUNT_SQ    BITS(15, 0) /* feature 07h, CDW11 and completion DW0: 0's based, without admin */
#define NVME_QUEUE_COUNT_CQ    BITS(31, 16)
#define NVME_COALESCE_THR      BITS(7, 0)  /* feature 08h: completions, 0's based */
#define NVME_COALESCE_TIME     BITS(15, 8) /* feature 08h: in 100 us */
#define NVME_ASYNC_SMART       BITS(7, 0)  /* feature 0bh: critical warnings */
#define NVME_ASYNC_NAMESPACE   BIT(8)
#define NVME_ASYNC_FIRMWARE    BIT(9)
#define NVME_ASYNC_TELEMETRY   BIT(10)
#define NVME_TEMPERATURE_TMPTH BITS(15, 0) /* feature 04h: K */

/* ---- asynchronous events: §5.2 ---- */
#define NVME_EVENT_TYPE BITS(2, 0) /* completion DW0 */
#define NVME_EVENT_INFO BITS(15, 8)
#define NVME_EVENT_PAGE BITS(23, 16) /* log page to read, which clears the event */

#define NVME_EVENT_ERROR       0
#define NVME_EVENT_SMART       1
#define NVME_EVENT_NOTICE      2
#define NVME_EVENT_COMMAND_SET 6
#define NVME_EVENT_VENDOR      7

#define NVME_EVENT_ERROR_DOORBELL       0 /* write to a doorbell of no queue */
#define NVME_EVENT_ERROR_DOORBELL_VALUE 1
#define NVME_EVENT_ERROR_DIAGNOSTIC     2
#define NVME_EVENT_ERROR_PERSISTENT     3
#define NVME_EVENT_ERROR_TRANSIENT      4
#define NVME_EVENT_ERROR_FIRMWARE_LOAD  5
#define NVME_EVENT_SMART_RELIABILITY    0
#define NVME_EVENT_SMART_TEMPERATURE    1
#define NVME_EVENT_SMART_SPARE          2
#define NVME_EVENT_NOTICE_NAMESPACE     0
#define NVME_EVENT_NOTICE_FIRMWARE      1
#define NVME_EVENT_NOTICE_TELEMETRY     2
#define NVME_EVENT_NOTICE_ANA           3

/* ---- log pages: §5.14 ---- */
#define NVME_LOG_LID   BITS(7, 0)   /* CDW10 */
#define NVME_LOG_LSP   BITS(11, 8)  /* CDW10 */
#define NVME_LOG_RAE   BIT(15)      /* CDW10: keep the event */
#define NVME_LOG_NUMDL BITS(31, 16) /* CDW10: dwords, 0's based, low half */
#define NVME_LOG_NUMDU BITS(15, 0)  /* CDW11 */

#define NVME_LOG_ERROR              0x01
#define NVME_LOG_SMART              0x02
#define NVME_LOG_FIRMWARE           0x03
#define NVME_LOG_CHANGED_NAMESPACES 0x04
#define NVME_LOG_EFFECTS            0x05
#define NVME_LOG_SELF_TEST          0x06
#define NVME_LOG_TELEMETRY_HOST     0x07
#define NVME_LOG_TELEMETRY          0x08
#define NVME_LOG_ENDURANCE          0x09
#define NVME_LOG_ANA                0x0c
#define NVME_LOG_PERSISTENT_EVENT   0x0d
#define NVME_LOG_LBA_STATUS         0x0e
#define NVME_LOG_RESERVATION        0x80
#define NVME_LOG_SANITIZE           0x81

struct nvme_error_log {      /* figure 193 */
	ob_le64 error_count; /* 0: no entry */
	ob_le16 sqid, cid;
	ob_le16 status; /* as in the CQE, with its phase bit */
	ob_le16 location;
	ob_le64 lba;
	ob_le32 nsid;
	uint8_t vendor_page, trtype;
	uint8_t rsvd30[2];
	ob_le64 command_specific;
	ob_le16 transport_specific;
	uint8_t rsvd42[22];
};
static_assert(sizeof(struct nvme_error_log) == 64, "error log entry");
static_assert(offsetof(struct nvme_error_log, command_specific) == 32, "error log command specific");

struct nvme_smart_log {                                            /* figure 194 */
	uint8_t critical_warning;                                  /* NVME_SMART_* */
	uint8_t temperature[2];                                    /* K, little endian, not aligned */
	uint8_t available_spare, spare_threshold, percentage_used; /* percent */
	uint8_t endurance_warning;
	uint8_t rsvd7[25];
	ob_le64 data_units_read[2], data_units_written[2]; /* offset 32; in 1000 x 512 bytes */
	ob_le64 host_reads[2], host_writes[2];
	ob_le64 busy_minutes[2], power_cycles[2], power_on_hours[2], unsafe_shutdowns[2];
	ob_le64 media_errors[2], error_log_entries[2];
	ob_le32 warning_minutes, critical_minutes; /* offset 192 */
	ob_le16 sensor[8];                         /* K; 0 none */
	ob_le32 thermal1_count, thermal2_count, thermal1_seconds, thermal2_seconds;
	uint8_t rsvd232[280];
};
static_assert(sizeof(struct nvme_smart_log) == 512, "SMART log");
static_assert(offsetof(struct nvme_smart_log, data_units_read) == 32, "SMART data units");
static_assert(offsetof(struct nvme_smart_log, warning_minutes) == 192, "SMART warning time");
static_assert(offsetof(struct nvme_smart_log, thermal1_count) == 216, "SMART thermal management");

#define NVME_SMART_SPARE       BIT(0)
#define NVME_SMART_TEMPERATURE BIT(1)
#define NVME_SMART_RELIABILITY BIT(2)
#define NVME_SMART_READ_ONLY   BIT(3)
#define NVME_SMART_BACKUP      BIT(4)
#define NVME_SMART_PMR         BIT(5)

struct nvme_firmware_log { /* figure 196 */
	uint8_t afi;       /* NVME_AFI_* */
	uint8_t rsvd1[7];
	uint8_t slot[7][8]; /* ASCII; all zero: empty */
	uint8_t rsvd64[448];
};
static_assert(sizeof(struct nvme_firmware_log) == 512, "firmware slot log");
static_assert(offsetof(struct nvme_firmware_log, slot) == 8, "firmware slots");

#define NVME_AFI_ACTIVE BITS(2, 0)
#define NVME_AFI_NEXT   BITS(6, 4)

/* ---- firmware: §5.11, §5.12 ---- */
#define NVME_FIRMWARE_SLOT   BITS(2, 0) /* commit CDW10; 0: the controller chooses */
#define NVME_FIRMWARE_ACTION BITS(5, 3)
#define NVME_FIRMWARE_BPID   BIT(31)

#define NVME_FIRMWARE_REPLACE           0 /* put into the slot, do not activate */
#define NVME_FIRMWARE_REPLACE_AND_RESET 1 /* … and activate at the next reset */
#define NVME_FIRMWARE_ACTIVATE          2 /* activate the slot at the next reset */
#define NVME_FIRMWARE_ACTIVATE_NOW      3

/* ---- doorbell buffers: §5.7, §7.13 ---- */
/* PRP1: shadow doorbells, PRP2: event indices; one page each, laid out as the doorbell registers from offset 0. */
#define NVME_SHADOW_SQ(qid, dstrd) (NVME_SQTDBL(qid, dstrd) - NVME_DBS)
#define NVME_SHADOW_CQ(qid, dstrd) (NVME_CQHDBL(qid, dstrd) - NVME_DBS)

/* Queue limits that the specification gives: §4.1.3, §3.1.8 */
#define NVME_ADMIN_QUEUE_MAX 4096
#define NVME_QUEUE_MIN       2
#define NVME_QUEUE_MAX       65536

static_assert(FIELD_GET(NVME_CAP_MPSMAX, BITS64(55, 52)) == 15, "CAP fields");
static_assert(FIELD_PREP(NVME_CC_IOCQES, 4) == 0x400000, "CC fields");
static_assert(FIELD_PREP(NVME_CC_IOSQES, 6) == 0x60000, "CC fields");
static_assert(NVME_CQHDBL(1, 0) == 0x100c && NVME_SQTDBL(2, 1) == 0x1020, "doorbells");
static_assert(NVME_CQE_STATUS(0x4102 | 1) == 0x081, "status field");

#endif
