/* SPDX-License-Identifier: BSD-2-Clause */
/* The Toeplitz hash by which hardware deals frames out to channels ("Receive Side Scaling", Microsoft NDIS), in software. */
#include <string.h>

#include "net/net.h"

/* The key that the specification's examples use. */
static const uint8_t example_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static unsigned key_bit(const uint8_t *key, unsigned key_bytes, unsigned bit)
{
	return bit / 8 < key_bytes ? (unsigned)key[bit / 8] >> (7 - bit % 8) & 1 : 0;
}

/* Each set bit of the input adds the 32 bits of the key that begin at its place. */
uint32_t ob_net_toeplitz(const uint8_t *key, unsigned key_bytes, const uint8_t *input, unsigned input_bytes)
{
	uint32_t hash = 0, window = 0;

	for (unsigned bit = 0; bit < 32; bit++)
		window = window << 1 | key_bit(key, key_bytes, bit);
	for (unsigned bit = 0; bit < 8 * input_bytes; bit++) {
		if (((unsigned)input[bit / 8] >> (7 - bit % 8) & 1) != 0)
			hash ^= window;
		window = window << 1 | key_bit(key, key_bytes, bit + 32);
	}
	return hash;
}

void ob_net_rss_default(const struct ob_net *net, unsigned channels, struct ob_net_rss *out)
{
	struct ob_net_info info;

	ob_net_info(net, &info);
	*out = (struct ob_net_rss){.types = info.rss_types, .table_count = 1};
	out->key_bytes = MIN((unsigned)sizeof(example_key), info.rss_key_bytes);
	memcpy(out->key, example_key, out->key_bytes);
	while (2 * out->table_count <= MIN(info.rss_table_max, 128u))
		out->table_count *= 2;
	for (unsigned i = 0; i < out->table_count; i++)
		out->table[i] = (uint16_t)(channels != 0 ? i % channels : 0);
}
