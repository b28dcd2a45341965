/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device configuration: VIRTIO 1.2 §2.5.
 *
 * A field is accessed in its own width, as §4.1.3.1 and §4.2.2.2 ask; the device may change any of it at any time, so
 * what belongs together is read between two equal generation counts.
 */
#include <errno.h>
#include <string.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"

#define GENERATION_TRIES 100

static bool is_inside(const struct virtio_device *v, unsigned offset, size_t len_bytes)
{
	return offset <= v->config_len && len_bytes <= v->config_len - offset;
}

static bool is_width(size_t size_bytes)
{
	return size_bytes == 1 || size_bytes == 2 || size_bytes == 4 || size_bytes == 8;
}

/* One of 8 bytes is two of 4. */
static int field_read(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int ret = v->ops->config_read(v, offset, size_bytes == 8 ? 4 : size_bytes, &low);

	if (ret == 0 && size_bytes == 8)
		ret = v->ops->config_read(v, offset + 4, 4, &high);
	*value = (uint64_t)high << 32 | low;
	return ret;
}

int ob_virtio_config_fields(struct ob_device *dev, const struct ob_virtio_field *fields, unsigned count,
			    uint64_t *values)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v == NULL)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		if (!is_width(fields[i].size_bytes) || !IS_ALIGNED(fields[i].offset, MIN(fields[i].size_bytes, 4)) ||
		    !is_inside(v, fields[i].offset, fields[i].size_bytes))
			return -EINVAL;
	if (hooks_fail(ob_device_context(dev), __func__))
		return -ENODEV;
	for (unsigned try = 0; try < GENERATION_TRIES; try++) {
		uint32_t before, after;
		int ret = v->ops->generation(v, &before);

		for (unsigned i = 0; ret == 0 && i < count; i++)
			ret = field_read(v, fields[i].offset, fields[i].size_bytes, &values[i]);
		if (ret == 0)
			ret = v->ops->generation(v, &after);
		if (ret != 0)
			return ret;
		if (before == after)
			return 0;
	}
	ob_err(ob_device_context(dev), "%s: its configuration changes faster than it can be read", ob_device_name(dev));
	return -EAGAIN;
}

/* In little endian, byte by byte: the caller's memory need not be aligned. */
static void value_put(uint8_t *to, uint64_t value, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

int ob_virtio_config_read(struct ob_device *dev, unsigned offset, void *to, size_t len_bytes)
{
	/* Larger arrays than these no device class has. */
	struct ob_virtio_field bytes[64];
	uint64_t values[ARRAY_SIZE(bytes)];
	int ret;

	if (offset > UINT16_MAX || len_bytes == 0)
		return -EINVAL;
	if (is_width(len_bytes) && IS_ALIGNED(offset, MIN(len_bytes, 4))) {
		bytes[0] = (struct ob_virtio_field){(uint16_t)offset, (uint16_t)len_bytes};
		ret = ob_virtio_config_fields(dev, bytes, 1, values);
		if (ret == 0)
			value_put(to, values[0], len_bytes);
		return ret;
	}
	if (len_bytes > ARRAY_SIZE(bytes))
		return -EINVAL;
	for (unsigned i = 0; i < len_bytes; i++)
		bytes[i] = (struct ob_virtio_field){(uint16_t)(offset + i), 1};
	ret = ob_virtio_config_fields(dev, bytes, (unsigned)len_bytes, values);
	for (unsigned i = 0; ret == 0 && i < len_bytes; i++)
		((uint8_t *)to)[i] = (uint8_t)values[i];
	return ret;
}

int ob_virtio_config_write(struct ob_device *dev, unsigned offset, const void *from, size_t len_bytes)
{
	struct virtio_device *v = virtio_device_of(dev);
	size_t step = is_width(len_bytes) && IS_ALIGNED(offset, MIN(len_bytes, 4)) ? MIN(len_bytes, 4) : 1;
	const uint8_t *bytes = from;
	int ret = 0;

	if (v == NULL || len_bytes == 0 || !is_inside(v, offset, len_bytes))
		return -EINVAL;
	if (hooks_fail(ob_device_context(dev), __func__))
		return -ENODEV;
	for (size_t at = 0; ret == 0 && at < len_bytes; at += step) {
		uint32_t value = 0;

		for (size_t i = 0; i < step; i++)
			value |= (uint32_t)bytes[at + i] << 8 * i;
		ret = v->ops->config_write(v, offset + (unsigned)at, (unsigned)step, value);
	}
	return ret;
}
