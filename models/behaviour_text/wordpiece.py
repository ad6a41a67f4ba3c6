"""The WordPiece vocabulary of behaviour text, and text to token ids."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# BERT splits these characters singly, so each is a word of its own and never a continuation.
_CJK = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)
_BATCH = 4096


def learn_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """Learns a WordPiece vocabulary with TF-Text's learner.

    It differs from `keras_nlp.tokenizers.compute_word_piece_vocabulary`, which calls the same learner, in two
    ways. A word that occurs once may be a token, where KerasNLP asks for ten occurrences: most words of a
    catalogue's titles are rare, and tell items apart. And Chinese, Japanese and Korean ideographs go in by
    frequency, up to half of the vocabulary, and each once: the learner alone keeps 1,000 characters at most
    and stores each of them twice (`科` and `##科`).

    Args:
        texts: what will be tokenised; order and case do not matter.
        size: the largest number of tokens; the vocabulary is smaller where the texts hold less.

    Returns:
        Tokens by id: the special tokens ([PAD] is 0), ideographs, then word pieces. The same for equal texts.

    Raises:
        ValueError: `size` has no room for the special tokens and the alphabet.
    """
    from tensorflow_text.tools.wordpiece_vocab import bert_vocab_from_dataset

    texts = [_utf8(text).decode() for text in texts]
    ideographs = _by_frequency(character for text in texts for character in _CJK.findall(text))
    ideographs = ideographs[: max(0, size // 2 - len(SPECIAL_TOKENS))]
    words = collections.Counter(word for text in texts for word in _CJK.sub(" ", text).split())
    room = size - len(SPECIAL_TOKENS) - len(ideographs)
    if room < 1:
        raise ValueError(f"`size` of a WordPiece vocabulary must be above {len(SPECIAL_TOKENS)}; received {size}.")
    pieces: list[str] = []
    if words:
        pieces = bert_vocab_from_dataset.bert_vocab_from_dataset(
            # As an array: of a list, TensorFlow looks at each word by itself, in Python.
            tf.data.Dataset.from_tensor_slices(np.array(sorted(words.elements()), object)).batch(_BATCH),
            vocab_size=room,
            reserved_tokens=[],
            bert_tokenizer_params={"lower_case": True},
            learn_params={"lower_thresh": 1},
        )
    return [*SPECIAL_TOKENS, *ideographs, *pieces[:room]]


def tokenize(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> npt.NDArray[np.int32]:
    """Turns texts into token ids, without [CLS] and [SEP].

    Accents are stripped, and case is folded unless the vocabulary is a cased one. White space and control
    characters separate words; an empty text has no tokens; a special token written out in a text is
    punctuation and letters, as any other.

    Args:
        texts: any language.
        vocabulary: tokens by id, [PAD] first.
        length: the number of tokens kept, from the beginning.

    Returns:
        [num_texts, length] int32, 0-padded.

    Raises:
        ValueError: the vocabulary is not a WordPiece vocabulary with [PAD] as id 0.
    """
    import keras_nlp

    check_vocabulary(vocabulary)
    tokenizer = keras_nlp.tokenizers.WordPieceTokenizer(
        vocabulary=list(vocabulary),
        sequence_length=length,
        lowercase=not _is_cased(vocabulary),
        strip_accents=True,
        oov_token=UNK,
    )
    encoded = [_utf8(text) for text in texts]
    batches = [
        np.asarray(tokenizer(tf.constant(encoded[start : start + _BATCH])), np.int32)
        for start in range(0, len(encoded), _BATCH)
    ]
    return np.concatenate(batches) if batches else np.zeros((0, length), np.int32)


def check_vocabulary(vocabulary: Sequence[str]) -> None:
    """Says what a vocabulary lacks to be one of behaviour text.

    Raises:
        ValueError: a special token is missing, or [PAD] is not the first.
    """
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing or vocabulary[0] != PAD:
        raise ValueError(
            f"A WordPiece vocabulary starts with {PAD} and holds {', '.join(SPECIAL_TOKENS)}. This one starts "
            f"with {vocabulary[0] if vocabulary else 'nothing'!r} and lacks {', '.join(missing) or 'none'}. "
            "Use the vocabulary of a BERT (vocab.txt)."
        )


def _is_cased(vocabulary: Sequence[str]) -> bool:
    return any(token != token.lower() for token in vocabulary if not token.startswith("["))


def _by_frequency(items: Iterable[str]) -> list[str]:
    return [item for item, _ in sorted(collections.Counter(items).items(), key=lambda pair: (-pair[1], pair[0]))]


def _utf8(text: str) -> bytes:
    # A zero byte would end the text for the tokenizer. Half of a surrogate pair, as broken JSON may hold,
    # cannot be encoded: it becomes a question mark.
    return text.replace("\0", " ").encode("utf-8", "replace")
