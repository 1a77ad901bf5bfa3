"""The table of transformers: one row per class, in the order in which people ask for them."""

from __future__ import annotations

from fdplug.denoisers.guidance_rows import SEPARATE
from fdplug.denoisers.transformer_row import Row, TableTransformer, family, fraction, thousandths

_IMAGE = "the picture's embedding and the leading 18/28 of the blocks"
_BOTH = "the embeddings of picture and text and the leading 18/28 of the blocks"
_VIDEO = "the video's embedding and the leading 18/28 of the blocks"
_STREAMS = "the embeddings of picture and text and the leading 18/28 of all blocks, double and single"
_DOUBLE_SINGLE = ("transformer_blocks", "single_transformer_blocks")
_TEXT = ("encoder_hidden_states", "encoder_attention_mask")
_ROTARY = frozenset({"image_rotary_emb"})
_POSITIONAL = "rotary embeddings come to the blocks without a name, and could be taken for rows"

ROWS = (
    Row(
        name="qwen-image-transformer-2d",
        model="QwenImageTransformer2DModel",
        encoder=_BOTH,
        stem=("img_in", "txt_norm", "txt_in"),
        conditioning=(
            "encoder_hidden_states",
            "encoder_hidden_states_mask",
            "guidance",
            "img_shapes",
            "attention_kwargs",
            "additional_t_cond",
        ),
        batch_arguments=("controlnet_block_samples",),
        unbatched=_ROTARY,
        clock=thousandths,
        guidance=SEPARATE,
    ),
    Row(
        name="wan-transformer-3d",
        model="WanTransformer3DModel",
        encoder=_VIDEO,
        stacks=("blocks",),
        stem=("patch_embedding",),
        conditioning=("encoder_hidden_states", "encoder_hidden_states_image", "attention_kwargs"),
        guidance=SEPARATE,
    ),
    Row(
        name="flux2-transformer-2d",
        model="Flux2Transformer2DModel",
        encoder=_STREAMS,
        stacks=_DOUBLE_SINGLE,
        stem=("x_embedder", "context_embedder"),
        conditioning=("encoder_hidden_states", "guidance", "joint_attention_kwargs"),
        unbatched=_ROTARY,
        clock=thousandths,
        guidance=SEPARATE,
    ),
    Row(
        name="ltx-video-transformer-3d",
        model="LTXVideoTransformer3DModel",
        encoder=_VIDEO,
        stem=("proj_in",),
        conditioning=(*_TEXT, "attention_kwargs", "video_coords"),
    ),
    Row(
        name="chroma-transformer-2d",
        model="ChromaTransformer2DModel",
        encoder=_STREAMS,
        stacks=_DOUBLE_SINGLE,
        stem=("x_embedder", "context_embedder"),
        conditioning=("encoder_hidden_states", "attention_mask", "joint_attention_kwargs"),
        batch_arguments=("controlnet_block_samples", "controlnet_single_block_samples"),
        unbatched=_ROTARY,
        clock=thousandths,
        guidance=SEPARATE,
    ),
    Row(
        name="cogvideox-transformer-3d",
        model="CogVideoXTransformer3DModel",
        encoder="the embeddings of video and text and the leading 18/28 of the blocks",
        stem=("patch_embed",),
        conditioning=("encoder_hidden_states", "timestep_cond", "ofs", "attention_kwargs"),
        unbatched=_ROTARY,
    ),
    Row(
        name="cogview4-transformer-2d",
        model="CogView4Transformer2DModel",
        encoder=_BOTH,
        stem=("patch_embed",),
        conditioning=("encoder_hidden_states", "original_size", "target_size", "crop_coords", "attention_kwargs"),
        one_by_one=_POSITIONAL,
        guidance=SEPARATE,
    ),
    Row(
        name="cogview3-plus-transformer-2d",
        model="CogView3PlusTransformer2DModel",
        encoder=_BOTH,
        stem=("patch_embed",),
        conditioning=("encoder_hidden_states", "original_size", "target_size", "crop_coords"),
    ),
    Row(
        name="sana-transformer-2d",
        model="SanaTransformer2DModel",
        encoder=_IMAGE,
        stem=("patch_embed",),
        conditioning=(*_TEXT, "guidance", "attention_mask", "attention_kwargs"),
        batch_arguments=("controlnet_block_samples",),
    ),
    Row(
        name="auraflow-transformer-2d",
        model="AuraFlowTransformer2DModel",
        encoder=_STREAMS,
        stacks=("joint_transformer_blocks", "single_transformer_blocks"),
        stem=("pos_embed", "context_embedder"),
        conditioning=("encoder_hidden_states", "attention_kwargs"),
        clock=fraction,
    ),
    Row(
        name="hunyuan-dit-2d",
        model="HunyuanDiT2DModel",
        encoder="the picture's embedding and the leading 18/28 of the blocks, whose long skips are kept",
        stacks=("blocks",),
        stem=("pos_embed",),
        conditioning=(
            "encoder_hidden_states",
            "text_embedding_mask",
            "encoder_hidden_states_t5",
            "text_embedding_mask_t5",
            "image_meta_size",
            "style",
            "controlnet_block_samples",
        ),
        unbatched=_ROTARY,
        skips=True,
    ),
    Row(
        name="kandinsky5-transformer-3d",
        model="Kandinsky5Transformer3DModel",
        encoder="the video's embedding and the leading 18/28 of the visual blocks",
        stacks=("visual_transformer_blocks",),
        stem=("visual_embeddings",),
        conditioning=("encoder_hidden_states", "pooled_projections"),
        one_by_one=_POSITIONAL,
        guidance=SEPARATE,
    ),
    Row(
        name="allegro-transformer-3d",
        model="AllegroTransformer3DModel",
        encoder=_VIDEO,
        stem=("pos_embed",),
        conditioning=(*_TEXT, "attention_mask"),
        unbatched=_ROTARY,
    ),
    Row(
        name="latte-transformer-3d",
        model="LatteTransformer3DModel",
        encoder="the video's embedding and the leading 18/28 of all blocks, spatial and temporal in turn",
        stacks=("transformer_blocks", "temporal_transformer_blocks"),
        stem=("pos_embed",),
        conditioning=(*_TEXT, "enable_temporal_attentions"),
        alternating=True,
    ),
    Row(
        name="bria-transformer-2d",
        model="BriaTransformer2DModel",
        encoder=_STREAMS,
        stacks=_DOUBLE_SINGLE,
        stem=("x_embedder", "context_embedder"),
        conditioning=("encoder_hidden_states", "guidance", "attention_kwargs"),
        batch_arguments=("controlnet_block_samples", "controlnet_single_block_samples"),
        unbatched=_ROTARY,
    ),
    Row(
        name="prx-transformer-2d",
        model="PRXTransformer2DModel",
        encoder=_IMAGE,
        stacks=("blocks",),
        stem=("img_in",),
        conditioning=("encoder_hidden_states", "attention_mask", "attention_kwargs"),
        clock=fraction,
    ),
)

FAMILIES: tuple[type[TableTransformer], ...] = tuple(family(row) for row in ROWS)

REFUSED = {
    "ZImageTransformer2DModel": "its samples come as a list of pictures, not as a batch",
    "OmniGenTransformer2DModel": "its prompt's pictures go through the sample's embedding, in the same call",
}
