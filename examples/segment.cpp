// A vehicle's own program in C++: an ONNX file runs in OpenVINO, and its answers are compared with `seg golden`'s.
//
//     seg golden drive drive.mp4 -o golden
//     g++ -std=c++17 -O2 segment.cpp -o segment -I $OPENVINO/include $OPENVINO/libs/libopenvino.so.N -Wl,-rpath,$OPENVINO/libs
//     ./segment drive.onnx golden/000
//
// OPENVINO is where the Python package stands, or use the package of your system and -lopenvino. Exit code 0: it matches.
#include <openvino/openvino.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Bytes {  // a .npy file of bytes, C order (NumPy's format 1.0)
    std::vector<size_t> shape;
    std::vector<uint8_t> values;
};

Bytes read_npy(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char start[10];
    if (!file.read(start, 10) || std::string(start, 7) != "\x93NUMPY\x01") throw std::runtime_error(path + ": no .npy file");
    std::string header(uint8_t(start[8]) + 256 * uint8_t(start[9]), ' ');
    file.read(header.data(), header.size());
    if (header.find("|u1") == std::string::npos || header.find("'fortran_order': False") == std::string::npos)
        throw std::runtime_error(path + ": expected bytes in C order");
    Bytes array;
    size_t count = 1;
    std::stringstream shape(header.substr(header.find('(') + 1));
    for (size_t side; shape >> side; shape.ignore()) {
        array.shape.push_back(side);
        count *= side;
    }
    array.values.resize(count);
    if (!file.read(reinterpret_cast<char*>(array.values.data()), count)) throw std::runtime_error(path + ": truncated");
    return array;
}

// The class map at the frame's size: the pixel in which the centre lies. Integers, so that no rounding decides.
std::vector<uint8_t> fit_map(const uint8_t* map, size_t h, size_t w, size_t height, size_t width) {
    std::vector<uint8_t> fitted(height * width);
    for (size_t y = 0; y < height; ++y)
        for (size_t x = 0; x < width; ++x)
            fitted[y * width + x] = map[(2 * y + 1) * h / (2 * height) * w + (2 * x + 1) * w / (2 * width)];
    return fitted;
}

// A frame at the network's size: bilinear between pixel centres, no antialiasing (OpenCV's INTER_LINEAR, to a grey level).
std::vector<uint8_t> fit_frame(const Bytes& frame, size_t height, size_t width) {
    const size_t h = frame.shape[0], w = frame.shape[1];
    std::vector<uint8_t> fitted(height * width * 3);
    for (size_t y = 0; y < height; ++y) {
        const double fy = std::clamp((y + 0.5) * h / height - 0.5, 0.0, double(h - 1));
        const size_t y0 = size_t(fy), y1 = std::min(y0 + 1, h - 1);
        for (size_t x = 0; x < width; ++x) {
            const double fx = std::clamp((x + 0.5) * w / width - 0.5, 0.0, double(w - 1));
            const size_t x0 = size_t(fx), x1 = std::min(x0 + 1, w - 1);
            for (size_t c = 0; c < 3; ++c) {
                const auto at = [&](size_t row, size_t column) { return double(frame.values[(row * w + column) * 3 + c]); };
                const double top = at(y0, x0) + (fx - x0) * (at(y0, x1) - at(y0, x0));
                const double bottom = at(y1, x0) + (fx - x0) * (at(y1, x1) - at(y1, x0));
                fitted[(y * width + x) * 3 + c] = uint8_t(std::lround(top + (fy - y0) * (bottom - top)));
            }
        }
    }
    return fitted;
}

// The share of values that are further apart than `allowed`.
double differing(const std::vector<uint8_t>& ours, const std::vector<uint8_t>& theirs, int allowed) {
    if (ours.size() != theirs.size()) throw std::runtime_error("reference answers of another size");
    size_t count = 0;
    for (size_t i = 0; i < theirs.size(); ++i) count += std::abs(ours[i] - theirs[i]) > allowed;
    return double(count) / theirs.size();
}

std::vector<uint8_t> values(const ov::Tensor& tensor) {
    return {tensor.data<uint8_t>(), tensor.data<uint8_t>() + tensor.get_size()};
}

int main(int argc, char** argv) try {
    if (argc != 3) throw std::runtime_error("usage: segment MODEL.onnx GOLDEN/000");
    const std::string folder = std::string(argv[2]) + "/";
    ov::Core core;
    auto model = core.read_model(argv[1]);
    const auto contract = model->get_rt_info<std::string>("framework", "segmentation_autoencoder.spec");
    if (contract.find("\"profile\":\"frame\"") == std::string::npos)
        throw std::runtime_error("expected a file of profile frame");  // a real program parses the JSON

    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();

    // The frame is RGB already; one of OpenCV's needs cv::cvtColor first, and cv::resize with INTER_LINEAR does the rest.
    const Bytes frame = read_npy(folder + "frame.npy");
    if (frame.shape.size() != 3 || frame.shape[2] != 3) throw std::runtime_error("expected a frame of shape (H, W, 3)");
    const ov::Shape shape = model->input("frame").get_shape();  // 1, height, width, 3; a file of any size has none
    auto fitted = fit_frame(frame, shape[1], shape[2]);
    request.set_tensor("frame", ov::Tensor(ov::element::u8, shape, fitted.data()));
    request.infer();

    const auto classes = values(request.get_tensor("classes")), confidence = values(request.get_tensor("confidence"));
    for (uint8_t value : confidence)  // in bytes a number that is none reads as 0
        if (value == 0) throw std::runtime_error("the network answers what is no number");
    const auto map = fit_map(classes.data(), shape[1], shape[2], frame.shape[0], frame.shape[1]);

    const struct {
        const char* name;
        double share, allowed;  // ties, and frames that are resized by other sums than OpenCV's
    } found[] = {
        {"input, by more than a grey level", differing(fitted, read_npy(folder + "input.npy").values, 1), 0.001},
        {"classes", differing(classes, read_npy(folder + "classes.npy").values, 0), 0.001},
        {"confidence, by more than 2 of 255", differing(confidence, read_npy(folder + "confidence.npy").values, 2), 0.01},
        {"map", differing(map, read_npy(folder + "map.npy").values, 0), 0.001},
    };
    bool matches = true;
    for (const auto& [name, share, allowed] : found) {
        std::cout << 100 * share << " % differ in " << name << "\n";
        matches &= share <= allowed;
    }
    return matches ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
    std::cerr << "segment: " << error.what() << "\n";
    return 2;
}
