// Decoders of the GGUF blocks (quant/gguf_blocks.h has the layouts), 32 small integers at a time.
// Included once by each codec_<target>.cc, inside its anonymous namespace, so that every target
// compiles its own copy and none leaks into another (codec_kernels.h). The including file defines
// before:
//
//   float LoadHalf(const std::uint8_t* p);               fp16 to fp32
//   class Numbers;                                       32 integers of 8 bits
//   Numbers Load(const std::uint8_t* p);                 32 bytes
//   Numbers LoadNibbles(const std::uint8_t* p);          low halves of 16 bytes, then the high ones
//   Numbers LoadBits(const std::uint8_t* p);             0 or 1 for each bit of 4 bytes
//   Numbers Bits(Numbers x, int shift, int mask);        x >> shift & mask, mask < 16
//   Numbers Join(Numbers low, Numbers high);             low | high << 4
//   Numbers Subtract(Numbers x, int y);
//   void Store(Numbers x, float scale, float add, float* out);           x * scale + add
//   void StoreScaled(Numbers x, float first, float last, float* out);    16 by each scale
//
// No include guard and no includes: the including file owns both.

struct SubBlock {
  float scale;
  float offset;
};

// Sub-block j of Q4_K and Q5_K: its scale and minus its minimum.
inline SubBlock LoadSubBlock(const std::uint8_t* s, int j, float d, float dmin) {
  const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  const int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
  return {d * static_cast<float>(scale), -(dmin * static_cast<float>(minimum))};
}

struct Q4_0Decoder {
  using Block = quant::BlockQ4_0;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    StoreScaled(Subtract(LoadNibbles(block + offsetof(Block, qs)), 8), d, d, out);
  }
};

struct Q4_1Decoder {
  using Block = quant::BlockQ4_1;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const float m = LoadHalf(block + offsetof(Block, m));
    Store(LoadNibbles(block + offsetof(Block, qs)), d, m, out);
  }
};

struct Q5_0Decoder {
  using Block = quant::BlockQ5_0;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const Numbers q =
        Join(LoadNibbles(block + offsetof(Block, qs)), LoadBits(block + offsetof(Block, qh)));
    StoreScaled(Subtract(q, 16), d, d, out);
  }
};

struct Q5_1Decoder {
  using Block = quant::BlockQ5_1;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const float m = LoadHalf(block + offsetof(Block, m));
    const Numbers q =
        Join(LoadNibbles(block + offsetof(Block, qs)), LoadBits(block + offsetof(Block, qh)));
    Store(q, d, m, out);
  }
};

struct Q8_0Decoder {
  using Block = quant::BlockQ8_0;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    StoreScaled(Load(block + offsetof(Block, qs)), d, d, out);
  }
};

struct Q4KDecoder {
  using Block = quant::BlockQ4K;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const float dmin = LoadHalf(block + offsetof(Block, dmin));
    for (int j = 0; j < 8; ++j) {
      const SubBlock sub = LoadSubBlock(block + offsetof(Block, scales), j, d, dmin);
      const Numbers pair = Load(block + offsetof(Block, qs) + 32 * (j / 2));
      Store(Bits(pair, 4 * (j % 2), 15), sub.scale, sub.offset, out + 32 * j);
    }
  }
};

struct Q5KDecoder {
  using Block = quant::BlockQ5K;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const float dmin = LoadHalf(block + offsetof(Block, dmin));
    const Numbers fifth = Load(block + offsetof(Block, qh));
    for (int j = 0; j < 8; ++j) {
      const SubBlock sub = LoadSubBlock(block + offsetof(Block, scales), j, d, dmin);
      const Numbers pair = Load(block + offsetof(Block, qs) + 32 * (j / 2));
      const Numbers q = Join(Bits(pair, 4 * (j % 2), 15), Bits(fifth, j, 1));
      Store(q, sub.scale, sub.offset, out + 32 * j);
    }
  }
};

struct Q6KDecoder {
  using Block = quant::BlockQ6K;
  static void Decode(const std::uint8_t* block, float* out) {
    const float d = LoadHalf(block + offsetof(Block, d));
    const auto* scales = reinterpret_cast<const std::int8_t*>(block + offsetof(Block, scales));
    for (int j = 0; j < 8; ++j) {
      const int half = j / 4;
      const int group = j % 4;
      const Numbers low = Load(block + offsetof(Block, ql) + 64 * half + 32 * (group % 2));
      const Numbers high = Load(block + offsetof(Block, qh) + 32 * half);
      const Numbers q = Join(Bits(low, group / 2 * 4, 15), Bits(high, 2 * group, 3));
      StoreScaled(Subtract(q, 32), d * static_cast<float>(scales[2 * j]),
                  d * static_cast<float>(scales[2 * j + 1]), out + 32 * j);
    }
  }
};

template <typename Decoder>
void DecodeEach(const std::byte* bytes, std::int64_t n, float* out) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(bytes);
  for (std::int64_t i = 0; i < n; i += Decoder::Block::kElements) {
    Decoder::Decode(block, out + i);
    block += sizeof(typename Decoder::Block);
  }
}

void DecodeBlocks(DType dtype, const std::byte* bytes, std::int64_t n, float* out) {
  switch (dtype) {
    case DType::kQ4_0:
      return DecodeEach<Q4_0Decoder>(bytes, n, out);
    case DType::kQ4_1:
      return DecodeEach<Q4_1Decoder>(bytes, n, out);
    case DType::kQ5_0:
      return DecodeEach<Q5_0Decoder>(bytes, n, out);
    case DType::kQ5_1:
      return DecodeEach<Q5_1Decoder>(bytes, n, out);
    case DType::kQ8_0:
      return DecodeEach<Q8_0Decoder>(bytes, n, out);
    case DType::kQ4K:
      return DecodeEach<Q4KDecoder>(bytes, n, out);
    case DType::kQ5K:
      return DecodeEach<Q5KDecoder>(bytes, n, out);
    case DType::kQ6K:
      return DecodeEach<Q6KDecoder>(bytes, n, out);
    default:
      MDSA_CHECK(false && "not a block type");
  }
}
